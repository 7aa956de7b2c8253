//! Objects, manifests and audit logs of Kubernetes.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(input, &[Kubernetes, KubernetesAudit]));
