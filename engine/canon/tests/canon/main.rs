//! Properties of reading: the walk and the tree, what is rewritten and what the tree writes, and the
//! decoders of trees among each other.

mod decoders;
mod generate;
mod rewrite;
mod walk;
