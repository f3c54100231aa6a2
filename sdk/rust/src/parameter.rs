//! A serde format of one level: names with strings.

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Reads a struct from parameters.
pub(crate) fn read<T: DeserializeOwned>(parameters: Vec<(String, String)>) -> Result<T, Error> {
    let values = parameters.into_iter().map(|(name, text)| (name.clone(), Value { name, text }));
    T::deserialize(MapDeserializer::new(values))
}

/// The error, and the parameter it is about.
#[derive(Debug)]
pub(crate) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(format!("the parameters cannot be read: {message}"))
    }

    fn missing_field(name: &'static str) -> Self {
        Self(format!("parameter `{name}` is missing: set it in the flow, or give it a default in the descriptor"))
    }
}

struct Value {
    name: String,
    text: String,
}

type Json<'a> = serde_json::Deserializer<serde_json::de::IoRead<&'a [u8]>>;

impl Value {
    /// Reads a type that is not text as JSON, which the value must then be. Through a reader, so that nothing borrows from the text.
    fn as_json<R>(&self, read: impl FnOnce(&mut Json<'_>) -> serde_json::Result<R>) -> Result<R, Error> {
        let mut json = serde_json::Deserializer::from_reader(self.text.as_bytes());
        read(&mut json).and_then(|value| json.end().map(|()| value)).map_err(|error| {
            let shown: String = self.text.chars().take(80).collect();
            Error(format!("parameter `{}` has the value `{shown}`, which is invalid: {error}; correct it in the flow", self.name))
        })
    }
}

impl IntoDeserializer<'_, Error> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! from_json {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.as_json(|json| serde::Deserializer::$method(json, visitor))
        })*
    };
}

impl<'de> serde::Deserializer<'de> for Value {
    type Error = Error;

    /// For types that leave it open: numbers, `true` and `false` as such, anything else as a string.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match serde_json::from_str(&self.text) {
            Ok(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                serde::Deserializer::deserialize_any(value, visitor).map_err(Error::custom)
            }
            _ => visitor.visit_string(self.text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, variants: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        if !variants.contains(&self.text.as_str()) {
            return Err(Error(format!(
                "parameter `{}` must be one of {}, not `{}`: correct it in the flow",
                self.name,
                variants.join(", "),
                self.text
            )));
        }
        visitor.visit_enum(self.text.into_deserializer())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.as_json(|json| serde::Deserializer::deserialize_struct(json, name, fields, visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.as_json(|json| serde::Deserializer::deserialize_tuple(json, len, visitor))
    }

    from_json! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_unit deserialize_seq deserialize_map
    }

    forward_to_deserialize_any! { bytes byte_buf unit_struct tuple_struct identifier ignored_any }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn read_one<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        #[derive(Deserialize)]
        struct One<T> {
            p: T,
        }
        read::<One<T>>(vec![("p".to_owned(), text.to_owned()), ("other".to_owned(), "1".to_owned())])
            .map(|one| one.p)
            .map_err(|error| error.to_string())
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Border {
        Sentence,
        Paragraph,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Pair {
        a: u8,
        b: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Size(usize);

    #[test]
    fn a_string_is_parsed_as_its_field_requires() {
        assert_eq!(read_one::<String>("12").unwrap(), "12");
        assert_eq!(read_one::<String>("true").unwrap(), "true");
        assert_eq!(read_one::<char>("7").unwrap(), '7');
        assert_eq!(read_one::<usize>("12").unwrap(), 12);
        assert_eq!(read_one::<Size>("12").unwrap(), Size(12));
        assert_eq!(read_one::<f64>("12").unwrap(), 12.0);
        assert!(read_one::<bool>("true").unwrap());
        assert_eq!(read_one::<Option<i8>>("-3").unwrap(), Some(-3));
        assert_eq!(read_one::<Border>("sentence").unwrap(), Border::Sentence);
        assert_eq!(read_one::<Vec<String>>(r#"["a", "b"]"#).unwrap(), ["a", "b"]);
        assert_eq!(read_one::<(u8, u8)>("[1, 2]").unwrap(), (1, 2));
        assert_eq!(read_one::<Pair>(r#"{"a": 1, "b": "x"}"#).unwrap(), Pair { a: 1, b: "x".to_owned() });
        assert_eq!(read_one::<serde_json::Value>("12").unwrap(), 12);
        assert_eq!(read_one::<serde_json::Value>("[12]").unwrap(), "[12]");
    }

    #[test]
    fn faults_name_the_parameter() {
        let check = |fault: String, words: &[&str]| {
            for word in words {
                assert!(fault.contains(word), "{fault} has no {word}");
            }
        };
        check(read_one::<usize>("big").unwrap_err(), &["`p`", "`big`"]);
        check(read_one::<u8>("300").unwrap_err(), &["`p`", "`300`"]);
        check(read_one::<bool>("yes").unwrap_err(), &["`p`"]);
        check(read_one::<u8>("1 2").unwrap_err(), &["`p`"]);
        check(read_one::<Border>("word").unwrap_err(), &["`p`", "sentence, Paragraph".to_lowercase().as_str(), "`word`"]);
        let missing = read::<Pair>(vec![("a".to_owned(), "1".to_owned())]).unwrap_err().to_string();
        check(missing, &["`b` is missing", "descriptor"]);
    }
}
