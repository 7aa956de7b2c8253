//! Epochs, commits, backpressure: joins ingest, compare and history.
