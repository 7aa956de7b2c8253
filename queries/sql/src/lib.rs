//! SQL over the history: catalog, views, read-only sessions.
