//! Tables in columns: Parquet and Arrow.
#![no_main]
deployforge_fuzz::target!(deployforge_fuzz::columns);
