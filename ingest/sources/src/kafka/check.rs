//! What is wrong with settings, said before any broker is spoken to.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{KafkaSettings, config, kafka_problem};
use crate::SourceError;

impl KafkaSettings {
    /// Whether they make a client, and name what can be asked for. No broker is spoken to.
    pub fn check(&self) -> Result<(), SourceError> {
        let wrong = |problem| SourceError::Kafka { name: self.name.clone(), problem };
        let consumer = idle(config(self)?).map_err(wrong)?;
        for topic in &self.topics {
            consumer.subscribe(&[topic]).map_err(|_| {
                wrong(format!("`{topic}` is neither the name of a topic nor a regular expression"))
            })?;
        }
        Ok(())
    }
}

/// Whether properties are known to the client, and their values are such as it takes. Of what is wrong the
/// property is told, and never its value.
pub fn check_kafka_properties(properties: &BTreeMap<String, String>) -> Result<(), String> {
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        config.set(name, value);
    }
    idle(config).map(drop)
}

/// A client that knows no broker.
fn idle(mut config: ClientConfig) -> Result<BaseConsumer, String> {
    config.remove("bootstrap.servers");
    config.create().map_err(|error| kafka_problem(&error))
}
