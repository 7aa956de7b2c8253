//! Tests of the reader through its public interface: traps one by one, then vectors whose results
//! others computed.

mod support;

mod arm;
mod aws_config;
mod azure;
mod cloudevents;
mod cloudformation;
mod cloudformation_stacks;
mod cloudquery;
mod corpus;
mod corpus_arm;
mod corpus_cloudformation;
mod corpus_kubernetes;
mod corpus_openstack;
mod damage;
mod evidence;
mod framing;
mod google;
mod kubernetes;
mod lines;
mod native;
mod openstack;
mod terraform;
mod terraform_json;
mod yaml;
