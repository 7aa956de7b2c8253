//! Delta Lake tables: schemas, writer, commits.
