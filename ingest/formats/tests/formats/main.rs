//! Tests of the reader through its public interface: traps one by one, then vectors whose results
//! others computed.

mod support;

mod aws_config;
mod azure;
mod cloudevents;
mod corpus;
mod evidence;
mod framing;
mod google;
mod lines;
mod native;
mod set15;
mod set9;
mod terraform;
mod terraform_json;
