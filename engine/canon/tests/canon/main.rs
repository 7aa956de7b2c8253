//! Properties of reading: the walk and the tree, and the decoders of trees among each other.

mod decoders;
mod generate;
mod walk;
