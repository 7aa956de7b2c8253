//! A listener with TLS and passwords: what the node is told, and what its clients say.

use std::path::Path;
use std::process::Command;

/// Who may come in.
const USER: &str = "drift";
const PASSWORD: &str = "example-password";

/// Makes a key and a certificate for the loopback address, in `keys.p12`, and the certificate alone in
/// `ca.pem`, with the tool that comes with Java.
pub(super) fn certificate(folder: &Path) {
    let tool = |args: &[&str]| {
        let mut command = Command::new("keytool");
        command.current_dir(folder).args(args);
        command.args(["-alias", "node", "-keystore", "keys.p12", "-storetype", "PKCS12"]);
        let made = command.args(["-storepass", PASSWORD]).output().expect("Java has `keytool`");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    };
    let key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "30"];
    let name = ["-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1"];
    tool(&[&key[..], &name[..]].concat());
    tool(&["-exportcert", "-rfc", "-file", "ca.pem"]);
}

/// What the node is told of its listener.
pub(super) fn properties(folder: &Path) -> String {
    let keys = folder.join("keys.p12");
    let keys = keys.display();
    format!(
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         ssl.keystore.type=PKCS12\n\
         ssl.keystore.location={keys}\n\
         ssl.keystore.password={PASSWORD}\n"
    )
}

/// Words for the storage tool: who may come in by SCRAM is kept in the node's own log.
pub(super) fn users() -> String {
    format!("--add-scram SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
}

/// What a client has to say.
pub(super) fn client(folder: &Path, mechanism: &str) -> Vec<(&'static str, String)> {
    vec![
        ("security.protocol", "SASL_SSL".to_owned()),
        ("ssl.ca.location", folder.join("ca.pem").display().to_string()),
        ("sasl.mechanism", mechanism.to_owned()),
        ("sasl.username", USER.to_owned()),
        ("sasl.password", PASSWORD.to_owned()),
    ]
}
