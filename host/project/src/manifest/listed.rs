//! Values with a short form: list elements as just their name, sizes and times with a unit.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use weir_config::units::{parse_size, parse_time};

/// A list in which a plain string means `{ name = string }`.
pub(super) fn listed<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Item<T>>::deserialize(deserializer)?.into_iter().map(|item| item.0).collect())
}

struct Item<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor(PhantomData)).map(Item)
    }
}

struct ItemVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for ItemVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a table with the key `name`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
        T::deserialize(MapDeserializer::new([("name", name)].into_iter()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A number with a unit, or without one in the smallest unit.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string with a unit, for example \"64 MiB\" or \"30 s\"")]
enum Measure {
    Number(u64),
    Text(String),
}

impl Measure {
    fn read<E: Error>(self, parse: impl Fn(&str) -> Result<u64, String>) -> Result<u64, E> {
        match self {
            Measure::Number(number) => Ok(number),
            Measure::Text(text) => parse(&text).map_err(|problem| E::custom(format!("`{}`: {problem}", weir_pubsub::shown(&text)))),
        }
    }
}

/// A size in bytes: `"64 MiB"`, or a number of bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Measure::deserialize(deserializer)?.read(parse_size).map(Some)
}

/// A time in milliseconds: `"30 s"`, or a number of milliseconds.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let parse = |text: &str| parse_time(text).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    Measure::deserialize(deserializer)?.read(parse).map(Some)
}
