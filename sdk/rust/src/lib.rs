//! A thin SDK: handlers are plain functions of extractors, as in axum, but without `async`.
#![allow(missing_docs, unsafe_code, clippy::allow_attributes_without_reason, clippy::unwrap_used, reason = "first cut, replaced next")]
use serde::{Serialize, de::DeserializeOwned};
use std::{any::{Any, TypeId}, cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

#[doc(hidden)]
pub mod base {
    wit_bindgen::generate!({ world: "processor", path: "../../wit/processor.wit", pub_export_macro: true, export_macro_name: "export_handler", default_bindings_module: "weir::base" });
}
#[doc(hidden)]
pub mod with_setup {
    wit_bindgen::generate!({ inline: "package weir:sdk; world with-setup { export weir:processor/setup@0.1.0; }", path: "../../wit/processor.wit",
        pub_export_macro: true, export_macro_name: "export_setup", default_bindings_module: "weir::with_setup" });
}
pub use base::weir::processor::{context, messaging, delivery::{Message, Verdict}};

/// Why a handler failed. Any error becomes a retry by `?`.
pub struct Failure(pub base::weir::processor::delivery::Failure);
impl Failure {
    pub fn retry(reason: impl ToString) -> Self { Self::new(Verdict::Retry, reason) }
    pub fn busy(reason: impl ToString) -> Self { Self::new(Verdict::Busy, reason) }
    pub fn reject(reason: impl ToString) -> Self { Self::new(Verdict::Reject, reason) }
    pub fn after(mut self, delay: Duration) -> Self { self.0.delay_ms = Some(delay.as_millis() as u32); self }
    fn new(verdict: Verdict, reason: impl ToString) -> Self { Self(base::weir::processor::delivery::Failure { verdict, reason: reason.to_string(), delay_ms: None }) }
}
impl<E: std::error::Error> From<E> for Failure { fn from(e: E) -> Self { Failure::retry(e) } }
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

pub trait FromMessage: Sized { fn from_message(input: &str, message: &mut Message) -> Result<Self>; }
pub trait IntoMessage { fn into_message(self) -> Message; }
pub trait Outcome { fn settle(self) -> Result; }

pub struct Json<T>(pub T);
impl<T: DeserializeOwned> FromMessage for Json<T> {
    fn from_message(_: &str, m: &mut Message) -> Result<Self> { serde_json::from_slice(&m.body).map(Json).map_err(|e| Failure::reject(format!("not the JSON expected: {e}"))) }
}
impl<T: Serialize> IntoMessage for Json<T> {
    fn into_message(self) -> Message { Message { body: serde_json::to_vec(&self.0).expect("serializable"), content_type: None, properties: vec![] } }
}
impl FromMessage for Message { fn from_message(_: &str, m: &mut Message) -> Result<Self> { Ok(Message { body: std::mem::take(&mut m.body), content_type: m.content_type.take(), properties: std::mem::take(&mut m.properties) }) } }
impl IntoMessage for Message { fn into_message(self) -> Message { self } }

/// The parameters, read by serde once per instance: they never change.
pub struct Params<T>(pub Rc<T>);
thread_local! { static CACHE: RefCell<HashMap<TypeId, Rc<dyn Any>>> = RefCell::default(); }
impl<T: DeserializeOwned + 'static> FromMessage for Params<T> {
    fn from_message(_: &str, _: &mut Message) -> Result<Self> {
        if let Some(c) = CACHE.with_borrow(|c| c.get(&TypeId::of::<T>()).cloned()) { return Ok(Params(c.downcast().expect("by type"))) }
        let map = context::parameters().into_iter().map(|(k, v)| { let j = serde_json::from_str(&v).unwrap_or(serde_json::Value::String(v)); (k, j) }).collect();
        let t: Rc<T> = Rc::new(serde_json::from_value(serde_json::Value::Object(map)).map_err(|e| Failure::reject(format!("parameters: {e}")))?);
        CACHE.with_borrow_mut(|c| c.insert(TypeId::of::<T>(), t.clone()));
        Ok(Params(t))
    }
}
impl Outcome for () { fn settle(self) -> Result { Ok(()) } }
impl<T: Serialize> Outcome for Json<T> { fn settle(self) -> Result { send("output", self) } }
impl<T: Outcome> Outcome for Result<T> { fn settle(self) -> Result { self?.settle() } }

/// Sends to an output.
pub fn send(to: &str, m: impl IntoMessage) -> Result { messaging::send(to, &m.into_message()).map_err(failed) }
/// Asks and reads the answer, which must have one part.
pub fn request<T: FromMessage>(to: &str, m: impl IntoMessage) -> Result<T> {
    let mut parts = messaging::request(to, &m.into_message(), None).map_err(failed)?;
    match parts.as_mut_slice() { [one] => T::from_message(to, one), more => Err(Failure::reject(format!("`{to}` answered in {} parts", more.len()))) }
}
fn failed(e: messaging::CallError) -> Failure { if e.kind == messaging::ErrorKind::Invalid { Failure::reject(e.reason) } else { Failure::retry(e.reason) } }

pub trait Handler<Args> { fn call(&self, input: &str, m: Message) -> Result; }
macro_rules! handler { ($($a:ident),*) => {
    impl<F, R: Outcome, $($a: FromMessage),*> Handler<($($a,)*)> for F where F: Fn($($a),*) -> R {
        #[allow(non_snake_case, unused_mut, unused_variables)]
        fn call(&self, input: &str, mut m: Message) -> Result { $(let $a = $a::from_message(input, &mut m)?;)* self($($a),*).settle() }
    } } }
handler!(A); handler!(A, B); handler!(A, B, C); handler!(A, B, C, D);

#[doc(hidden)]
pub fn check_handler<A>(_: impl Handler<A>) {}

/// `processor!(handle)`, or `processor!(handle, setup = configure)`.
#[macro_export]
macro_rules! processor {
    ($h:path $(, setup = $s:path)? $(, descriptor = $d:literal)?) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || $crate::check_handler($h);
        #[cfg(target_family = "wasm")]
        const _: () = {
        struct Processor;
        impl $crate::base::exports::weir::processor::handler::Guest for Processor {
            fn handle(input: String, m: $crate::Message) -> Result<(), $crate::base::exports::weir::processor::handler::Failure> { $crate::Handler::call(&$h, &input, m).map_err(|f| f.0) }
        }
        $crate::base::export_handler!(Processor with_types_in $crate::base);
        $(impl $crate::with_setup::exports::weir::processor::setup::Guest for Processor {
            fn configure(changed: Vec<String>) -> Result<(), String> { $s(&changed).map_err(|e| e.to_string()) }
        }
        $crate::with_setup::export_setup!(Processor with_types_in $crate::with_setup);)?
        };
        $crate::embed_descriptor!($($d)?);
    };
}
/// d
#[macro_export]
#[doc(hidden)]
macro_rules! embed_descriptor {
    () => { $crate::embed_descriptor!("descriptor.json"); };
    ($d:literal) => {
        #[cfg(target_family = "wasm")]
        #[used]
        #[unsafe(link_section = "weir:descriptor")]
        static WEIR_DESCRIPTOR: [u8; include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $d)).len()] =
            *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $d));
    };
}
