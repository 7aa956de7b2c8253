//! Properties of reading: the walk and the tree, texts that follow a guide, what is rewritten and what
//! the tree writes, and the decoders of trees among each other.

mod decoders;
mod generate;
mod guide;
mod rewrite;
mod walk;
