//! The commands of Pulsar's binary protocol that are used here, with the field numbers of its `PulsarApi.proto`. Written by hand: other fields are
//! skipped on reading, and builds need no Protocol Buffers compiler.

use std::fmt;

use prost::Message;

/// The protocol version that this client states: from 17 on, brokers respond to acknowledgements.
pub(super) const PROTOCOL_VERSION: i32 = 19;

/// `CommandSubscribe.SubType`.
pub(super) const EXCLUSIVE: i32 = 0;
pub(super) const SHARED: i32 = 1;
/// `CommandSubscribe.InitialPosition`.
pub(super) const LATEST: i32 = 0;
pub(super) const EARLIEST: i32 = 1;
/// `ProducerAccessMode`.
pub(super) const SHARED_ACCESS: i32 = 0;
pub(super) const EXCLUSIVE_ACCESS: i32 = 1;
/// `CommandAck.AckType`.
pub(super) const INDIVIDUAL: i32 = 0;
/// `CommandLookupTopicResponse.LookupType`.
pub(super) const REDIRECT: i32 = 0;
pub(super) const CONNECT_THERE: i32 = 1;

/// `BaseCommand.Type`.
pub(super) mod kind {
    pub(in super::super) const CONNECT: i32 = 2;
    pub(in super::super) const SUBSCRIBE: i32 = 4;
    pub(in super::super) const PRODUCER: i32 = 5;
    pub(in super::super) const SEND: i32 = 6;
    pub(in super::super) const SEND_RECEIPT: i32 = 7;
    pub(in super::super) const SEND_ERROR: i32 = 8;
    pub(in super::super) const MESSAGE: i32 = 9;
    pub(in super::super) const ACK: i32 = 10;
    pub(in super::super) const FLOW: i32 = 11;
    pub(in super::super) const CLOSE_PRODUCER: i32 = 15;
    pub(in super::super) const CLOSE_CONSUMER: i32 = 16;
    pub(in super::super) const PING: i32 = 18;
    pub(in super::super) const PONG: i32 = 19;
    pub(in super::super) const REDELIVER: i32 = 20;
    pub(in super::super) const LOOKUP: i32 = 23;
    pub(in super::super) const AUTH_CHALLENGE: i32 = 36;
    pub(in super::super) const AUTH_RESPONSE: i32 = 37;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BaseCommand {
    #[prost(int32, required, tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) connect: Option<Connect>,
    #[prost(message, optional, tag = "3")]
    pub(super) connected: Option<Connected>,
    #[prost(message, optional, tag = "4")]
    pub(super) subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "5")]
    pub(super) producer: Option<Producer>,
    #[prost(message, optional, tag = "6")]
    pub(super) send: Option<Send>,
    #[prost(message, optional, tag = "7")]
    pub(super) send_receipt: Option<SendReceipt>,
    #[prost(message, optional, tag = "8")]
    pub(super) send_error: Option<SendError>,
    #[prost(message, optional, tag = "9")]
    pub(super) message: Option<Delivered>,
    #[prost(message, optional, tag = "10")]
    pub(super) ack: Option<Ack>,
    #[prost(message, optional, tag = "11")]
    pub(super) flow: Option<Flow>,
    #[prost(message, optional, tag = "13")]
    pub(super) success: Option<Success>,
    #[prost(message, optional, tag = "14")]
    pub(super) error: Option<ErrorResponse>,
    #[prost(message, optional, tag = "15")]
    pub(super) close_producer: Option<Close>,
    #[prost(message, optional, tag = "16")]
    pub(super) close_consumer: Option<Close>,
    #[prost(message, optional, tag = "17")]
    pub(super) producer_success: Option<ProducerSuccess>,
    #[prost(message, optional, tag = "18")]
    pub(super) ping: Option<Nothing>,
    #[prost(message, optional, tag = "19")]
    pub(super) pong: Option<Nothing>,
    #[prost(message, optional, tag = "20")]
    pub(super) redeliver: Option<Redeliver>,
    #[prost(message, optional, tag = "23")]
    pub(super) lookup: Option<Lookup>,
    #[prost(message, optional, tag = "24")]
    pub(super) lookup_response: Option<LookupResponse>,
    #[prost(message, optional, tag = "36")]
    pub(super) auth_challenge: Option<AuthChallenge>,
    #[prost(message, optional, tag = "37")]
    pub(super) auth_response: Option<AuthResponse>,
    #[prost(message, optional, tag = "38")]
    pub(super) ack_response: Option<AckResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Connect {
    #[prost(string, required, tag = "1")]
    pub(super) client_version: String,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(super) auth_data: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "4")]
    pub(super) protocol_version: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub(super) auth_method_name: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub(super) proxy_to_broker_url: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub(super) feature_flags: Option<FeatureFlags>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeatureFlags {
    #[prost(bool, optional, tag = "1")]
    pub(super) supports_auth_refresh: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Connected {
    #[prost(string, required, tag = "1")]
    pub(super) server_version: String,
    #[prost(int32, optional, tag = "2")]
    pub(super) protocol_version: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub(super) max_message_size: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AuthData {
    #[prost(string, optional, tag = "1")]
    pub(super) auth_method_name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) auth_data: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AuthChallenge {
    #[prost(message, optional, tag = "2")]
    pub(super) challenge: Option<AuthData>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AuthResponse {
    #[prost(string, optional, tag = "1")]
    pub(super) client_version: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) response: Option<AuthData>,
    #[prost(int32, optional, tag = "3")]
    pub(super) protocol_version: Option<i32>,
}

/// A message's position in a topic.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct MessageIdData {
    #[prost(uint64, required, tag = "1")]
    pub(super) ledger: u64,
    #[prost(uint64, required, tag = "2")]
    pub(super) entry: u64,
    #[prost(int32, optional, tag = "3")]
    pub(super) partition: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub(super) batch_index: Option<i32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct KeyValue {
    #[prost(string, required, tag = "1")]
    pub(super) key: String,
    #[prost(string, required, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MessageMetadata {
    #[prost(string, required, tag = "1")]
    pub(super) producer_name: String,
    #[prost(uint64, required, tag = "2")]
    pub(super) sequence_id: u64,
    #[prost(uint64, required, tag = "3")]
    pub(super) publish_time: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) properties: Vec<KeyValue>,
    /// 0 for none.
    #[prost(int32, optional, tag = "8")]
    pub(super) compression: Option<i32>,
    /// Set if the payload is a batch, even of one message.
    #[prost(int32, optional, tag = "11")]
    pub(super) batch_count: Option<i32>,
    #[prost(string, optional, tag = "14")]
    pub(super) encryption_algo: Option<String>,
    #[prost(int32, optional, tag = "20")]
    pub(super) marker_type: Option<i32>,
    #[prost(int32, optional, tag = "27")]
    pub(super) chunk_count: Option<i32>,
}

/// The metadata of one message of a batch.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SingleMetadata {
    #[prost(message, repeated, tag = "1")]
    pub(super) properties: Vec<KeyValue>,
    #[prost(int32, required, tag = "3")]
    pub(super) payload_bytes: i32,
    #[prost(bool, optional, tag = "4")]
    pub(super) is_compacted_out: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Subscribe {
    #[prost(string, required, tag = "1")]
    pub(super) topic: String,
    #[prost(string, required, tag = "2")]
    pub(super) subscription: String,
    #[prost(int32, required, tag = "3")]
    pub(super) sub_type: i32,
    #[prost(uint64, required, tag = "4")]
    pub(super) consumer_id: u64,
    #[prost(uint64, required, tag = "5")]
    pub(super) request_id: u64,
    #[prost(string, optional, tag = "6")]
    pub(super) consumer_name: Option<String>,
    #[prost(bool, optional, tag = "8")]
    pub(super) durable: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub(super) start_message_id: Option<MessageIdData>,
    #[prost(int32, optional, tag = "13")]
    pub(super) initial_position: Option<i32>,
    #[prost(bool, optional, tag = "15")]
    pub(super) force_topic_creation: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Lookup {
    #[prost(string, required, tag = "1")]
    pub(super) topic: String,
    #[prost(uint64, required, tag = "2")]
    pub(super) request_id: u64,
    #[prost(bool, optional, tag = "3")]
    pub(super) authoritative: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LookupResponse {
    #[prost(string, optional, tag = "1")]
    pub(super) broker_url: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) broker_url_tls: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(super) response: Option<i32>,
    #[prost(uint64, required, tag = "4")]
    pub(super) request_id: u64,
    #[prost(bool, optional, tag = "5")]
    pub(super) authoritative: Option<bool>,
    #[prost(int32, optional, tag = "6")]
    pub(super) error: Option<i32>,
    #[prost(string, optional, tag = "7")]
    pub(super) message: Option<String>,
    #[prost(bool, optional, tag = "8")]
    pub(super) proxy_through_service_url: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Producer {
    #[prost(string, required, tag = "1")]
    pub(super) topic: String,
    #[prost(uint64, required, tag = "2")]
    pub(super) producer_id: u64,
    #[prost(uint64, required, tag = "3")]
    pub(super) request_id: u64,
    /// Set only together with the next field; otherwise the broker assigns it.
    #[prost(string, optional, tag = "4")]
    pub(super) producer_name: Option<String>,
    #[prost(bool, optional, tag = "9")]
    pub(super) user_provided_producer_name: Option<bool>,
    #[prost(int32, optional, tag = "10")]
    pub(super) access_mode: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProducerSuccess {
    #[prost(uint64, required, tag = "1")]
    pub(super) request_id: u64,
    #[prost(string, required, tag = "2")]
    pub(super) producer_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Send {
    #[prost(uint64, required, tag = "1")]
    pub(super) producer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub(super) sequence_id: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SendReceipt {
    #[prost(uint64, required, tag = "1")]
    pub(super) producer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub(super) sequence_id: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SendError {
    #[prost(uint64, required, tag = "1")]
    pub(super) producer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub(super) sequence_id: u64,
    #[prost(int32, required, tag = "3")]
    pub(super) error: i32,
    #[prost(string, required, tag = "4")]
    pub(super) message: String,
}

/// `CommandMessage`: a message sent to a consumer.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Delivered {
    #[prost(uint64, required, tag = "1")]
    pub(super) consumer_id: u64,
    #[prost(message, required, tag = "2")]
    pub(super) message_id: MessageIdData,
    #[prost(uint32, optional, tag = "3")]
    pub(super) redelivery_count: Option<u32>,
    /// For a batch: a bit for each message that is not acknowledged yet.
    #[prost(int64, repeated, packed = "false", tag = "4")]
    pub(super) ack_set: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ack {
    #[prost(uint64, required, tag = "1")]
    pub(super) consumer_id: u64,
    #[prost(int32, required, tag = "2")]
    pub(super) ack_type: i32,
    #[prost(message, repeated, tag = "3")]
    pub(super) message_ids: Vec<MessageIdData>,
    #[prost(uint64, optional, tag = "8")]
    pub(super) request_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AckResponse {
    #[prost(uint64, required, tag = "1")]
    pub(super) consumer_id: u64,
    #[prost(int32, optional, tag = "4")]
    pub(super) error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub(super) message: Option<String>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) request_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Flow {
    #[prost(uint64, required, tag = "1")]
    pub(super) consumer_id: u64,
    #[prost(uint32, required, tag = "2")]
    pub(super) permits: u32,
}

/// `CommandCloseProducer` and `CommandCloseConsumer`, in both directions.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Close {
    #[prost(uint64, required, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, required, tag = "2")]
    pub(super) request_id: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Redeliver {
    #[prost(uint64, required, tag = "1")]
    pub(super) consumer_id: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) message_ids: Vec<MessageIdData>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Success {
    #[prost(uint64, required, tag = "1")]
    pub(super) request_id: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ErrorResponse {
    #[prost(uint64, required, tag = "1")]
    pub(super) request_id: u64,
    #[prost(int32, required, tag = "2")]
    pub(super) error: i32,
    #[prost(string, required, tag = "3")]
    pub(super) message: String,
}

impl BaseCommand {
    /// An empty command of a kind.
    pub(super) fn of(kind: i32) -> Self {
        BaseCommand { kind, ..BaseCommand::default() }
    }
}

impl fmt::Display for MessageIdData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ledger, self.entry)
    }
}
