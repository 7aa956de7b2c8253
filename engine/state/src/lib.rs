//! What must survive: baseline versions, the deployment's keys, the frontier.
