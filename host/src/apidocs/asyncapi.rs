//! The AsyncAPI 3.0 document of a participant: the topics that it reads and writes, and their
//! records.
//!
//! Topics and groups have their names on the broker, which the settings may have changed. Payloads
//! have schemas of JSON Schema 2020-12; the subset that authors' types produce is valid in AsyncAPI
//! too. Must not know: brokers.

use saga_contract::description::{Description, Publication, Subscription};
use saga_core::record::header;
use serde_json::{Map, Value, json};

use super::schemas::{DocumentSchemas, component_name};
use super::{Configured, set};

/// Version of the Kafka bindings that are used.
const BINDING: &str = "0.5.0";

/// The document.
pub(super) fn document(description: &Description, names: &Configured<'_>) -> Value {
    let mut document = Document::default();
    for publication in &description.publications {
        document.send(description, publication, names);
    }
    for subscription in &description.subscriptions {
        document.receive(subscription, names);
    }
    for subscription in &description.subscriptions {
        document.dead_letters(subscription, names);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": description.name,
            "version": description.version,
            "description": format!(
                "{}\n\nRecords are CloudEvents 1.0 in Kafka's binary mode: the value is the event's JSON and nothing else, all attributes are \
                 headers.",
                description.summary
            ),
        },
        "defaultContentType": "application/json",
        "channels": document.channels,
        "operations": document.operations,
        "components": {"schemas": document.schemas.finish()},
    })
}

#[derive(Default)]
struct Document {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    schemas: DocumentSchemas,
}

impl Document {
    fn send(
        &mut self,
        description: &Description,
        publication: &Publication,
        names: &Configured<'_>,
    ) {
        let event = &publication.event_type;
        let payload = self
            .schemas
            .add(&publication.schema, &format!("{event}.published"));
        let mut message = message(event, payload, &publication.schema);
        set(
            &mut message,
            "headers",
            published_headers(description, publication),
        );
        set(
            &mut message,
            "correlationId",
            json!({
                "description": "The same for all messages of a saga.",
                "location": format!("$message.header#/{}", header::CORRELATION),
            }),
        );
        set(
            &mut message,
            "bindings",
            key_binding("The key that the rules give: records of one key stay in order."),
        );
        let topic = names.topic(&publication.topic);
        let (channel, message) = self.message(topic, event, message);
        let summary = format!("Publishes `{event}`.");
        self.operation(
            "send",
            &format!("publish-{event}"),
            (&channel, &[message.as_str()]),
            &summary,
        );
    }

    fn receive(&mut self, subscription: &Subscription, names: &Configured<'_>) {
        let event = &subscription.event_type;
        let topic = names.topic(&subscription.topic);
        let (channel, newest) = self.received(topic, subscription, subscription.version);
        let mut messages = vec![newest];
        for older in &subscription.older {
            messages.push(self.received(topic, subscription, older.version).1);
        }
        let messages: Vec<_> = messages.iter().map(String::as_str).collect();
        let mut summary = format!(
            "Takes `{event}` for the aggregate whose key is at `{}` in the value.",
            subscription.key
        );
        if !subscription.older.is_empty() {
            let older = subscription.older.iter();
            let older =
                older.map(|older| format!(", of version {} at `{}`", older.version, older.key));
            summary = format!(
                "Takes `{event}` for the aggregate whose key is in the value: of version {} at `{}`{}.",
                subscription.version,
                subscription.key,
                older.collect::<String>()
            );
        }
        let name = format!("take-{event}-from-{}", subscription.topic);
        let name = self.operation("receive", &name, (&channel, &messages), &summary);
        let group = names.group(&subscription.group);
        if let Some(operation) = self.operations.get_mut(&name) {
            set(
                operation,
                "bindings",
                json!({"kafka": {
                    "groupId": {"type": "string", "enum": [group]},
                    "bindingVersion": BINDING,
                }}),
            );
        }
    }

    /// Adds the message of one version of an event, and returns its channel and name.
    fn received(
        &mut self,
        topic: &str,
        subscription: &Subscription,
        version: u32,
    ) -> (String, String) {
        let event = &subscription.event_type;
        let (_, schema) = subscription.shape(version).unwrap_or_default();
        let name = if version == subscription.version {
            event.clone()
        } else {
            format!("{event}.v{version}")
        };
        let payload = self.schemas.add(schema, &format!("{name}.received"));
        let mut message = message(event, payload, schema);
        if !subscription.older.is_empty() {
            set(&mut message, "title", format!("{event}, version {version}"));
        }
        set(
            &mut message,
            "headers",
            received_headers(subscription, version),
        );
        set(
            &mut message,
            "bindings",
            key_binding("Any key: the aggregate is found by a place in the value."),
        );
        self.message(topic, &name, message)
    }

    fn dead_letters(&mut self, subscription: &Subscription, names: &Configured<'_>) {
        let (topic, group) = (
            names.topic(&subscription.topic),
            names.group(&subscription.group),
        );
        let address = format!("{topic}.{group}.dlq");
        if self.channels.contains_key(&component_name(&address)) {
            return;
        }
        let text =
            "A record that could not be decided: key, value and headers as they came, and why.";
        let message = json!({
            "name": "dead-letter",
            "title": "Dead letter",
            "summary": text,
            "payload": {"description": "The value as it came."},
            "headers": dead_letter_headers(),
            "bindings": key_binding("The key as it came."),
        });
        let (channel, message) = self.message(&address, "dead-letter", message);
        let name = format!("put-aside-from-{topic}");
        self.operation(
            "send",
            &name,
            (&channel, &[message.as_str()]),
            &format!("Puts aside what can't be decided from `{topic}`."),
        );
    }

    /// Adds a message to the channel of a topic; returns the names of both.
    fn message(&mut self, topic: &str, name: &str, message: Value) -> (String, String) {
        let channel = component_name(topic);
        let entry = self.channels.entry(channel.clone()).or_insert_with(|| {
            json!({
                "address": topic,
                "messages": {},
                "bindings": {"kafka": {"topic": topic, "bindingVersion": BINDING}},
            })
        });
        let mut name = component_name(name);
        if let Some(Value::Object(messages)) = entry.get_mut("messages") {
            // A participant that reads its own topic has two messages of one type, with different
            // headers.
            while messages.contains_key(&name) {
                name.push_str(".received");
            }
            messages.insert(name.clone(), message);
        }
        (channel, name)
    }

    fn operation(
        &mut self,
        action: &str,
        name: &str,
        (channel, messages): (&str, &[&str]),
        summary: &str,
    ) -> String {
        let message =
            |name: &&str| json!({"$ref": format!("#/channels/{channel}/messages/{name}")});
        let mut name = component_name(name);
        while self.operations.contains_key(&name) {
            name.push('-');
        }
        let operation = json!({
            "action": action,
            "summary": summary,
            "channel": {"$ref": format!("#/channels/{channel}")},
            "messages": messages.iter().map(message).collect::<Vec<_>>(),
        });
        self.operations.insert(name.clone(), operation);
        name
    }
}

fn message(event: &str, payload: Value, schema: &str) -> Value {
    let schema = saga_contract::json::parse(schema).unwrap_or_default();
    let mut message = json!({
        "name": event,
        "title": event,
        "contentType": "application/json",
        "payload": payload,
    });
    if let Some(summary) = schema.get("description").and_then(Value::as_str) {
        set(&mut message, "summary", summary);
    }
    // Only objects can be examples of a message.
    let examples = schema.get("examples").and_then(Value::as_array);
    let examples: Vec<_> = (examples.into_iter().flatten())
        .filter(|example| example.is_object())
        .map(|example| json!({"payload": example}))
        .collect();
    if !examples.is_empty() {
        set(&mut message, "examples", examples);
    }
    message
}

fn key_binding(description: &str) -> Value {
    json!({"kafka": {
        "key": {"type": "string", "description": description},
        "bindingVersion": BINDING,
    }})
}

/// The headers, each with its meaning and its schema.
fn header_schemas() -> Map<String, Value> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut time = text("When it was published (RFC 3339).");
    set(&mut time, "format", "date-time");
    [
        (header::CONTENT_TYPE, text("Media type of the value.")),
        (header::SPEC_VERSION, text("Version of CloudEvents.")),
        (
            header::ID,
            text("Id of the event: what comes again with the same id and source is dropped."),
        ),
        (header::SOURCE, text("Who published it.")),
        (header::TYPE, text("Type of the event.")),
        (header::TIME, time),
        (
            header::CORRELATION,
            text("The same for all messages of a saga."),
        ),
        (
            header::CAUSATION,
            text("Id of the message that caused this one."),
        ),
        (
            header::DIGEST,
            text("Digest of the component that decided."),
        ),
        (header::TRACEPARENT, text("W3C trace context.")),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}

/// Adds the header with the version of a record's value.
fn add_version(properties: &mut Map<String, Value>, version: u32) {
    let text = "Version of the event's value; 1 if it is missing.";
    let schema = json!({"type": "string", "description": text, "const": version.to_string()});
    properties.insert(header::DATA_VERSION.to_owned(), schema);
}

/// The headers of published records.
fn published_headers(description: &Description, publication: &Publication) -> Value {
    let mut properties = header_schemas();
    // The first version is not named.
    if publication.version != 1 {
        add_version(&mut properties, publication.version);
    }
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::SPEC_VERSION, "1.0"),
        (
            header::SOURCE,
            &saga_core::identity::source_of(&description.name),
        ),
        (header::TYPE, &*publication.event_type),
    ] {
        if let Some(schema) = properties.get_mut(name) {
            set(schema, "const", value);
        }
    }
    // Only clients and peers begin a trace context.
    let required: Vec<_> = (properties.keys())
        .filter(|name| *name != header::TRACEPARENT)
        .cloned()
        .collect();
    json!({"type": "object", "required": required, "properties": properties})
}

/// The headers of consumed records of this version, each of which is a message of its own. All are
/// optional, except the type if other subscriptions need it, and a version other than 1.
fn received_headers(subscription: &Subscription, version: u32) -> Value {
    let mut properties = header_schemas();
    if let Some(schema) = properties.get_mut(header::TYPE) {
        set(schema, "const", subscription.event_type.as_str());
    }
    add_version(&mut properties, version);
    let mut headers = json!({
        "type": "object",
        "description": "Without an id, a record's identity is its topic, partition, offset and content.",
        "properties": properties,
    });
    let mut required = Vec::new();
    if !subscription.untyped {
        required.push(header::TYPE);
    }
    if version != 1 {
        required.push(header::DATA_VERSION);
    }
    if !required.is_empty() {
        set(&mut headers, "required", json!(required));
    }
    headers
}

/// The headers that a dead letter has in addition to those of its record.
fn dead_letter_headers() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "required": ["dlq-topic", "dlq-partition", "dlq-offset", "dlq-group", "dlq-reason", "dlq-detail", "dlq-attempts", "dlq-digest"],
        "properties": {
            "dlq-topic": text("Topic that it came from."),
            "dlq-partition": text("Partition, from 0."),
            "dlq-offset": text("Offset, from 0."),
            "dlq-group": text("Consumer group that read it."),
            "dlq-reason": text("Why it could not be decided, in a word."),
            "dlq-detail": text("The same in a sentence."),
            "dlq-attempts": text("How often it was tried."),
            "dlq-digest": text("Digest of the component that tried last."),
            "dlq-key-omitted": text("How long the key was, where it was too long to be published."),
            "dlq-value-omitted": text("How long the value was, where it was too long to be published."),
        },
    })
}
