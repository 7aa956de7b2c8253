//! The sets of vectors stand in `vectors/`; this crate holds nothing else.
