//! JSON objects for structures. serde's derive also takes an array, whose values it reads as the fields in their order.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A structure that is read from an object.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer).map(Self)
    }
}

/// Reads a structure from an object; for `#[serde(deserialize_with)]`.
///
/// Errors: another value, or those of the structure.
pub fn read<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Fields(PhantomData))
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release_api::NewRelease;

    #[test]
    fn an_array_is_no_structure() {
        let read = |text: &str| serde_json::from_str::<Object<NewRelease>>(text).map(|_| ());
        assert!(read(r#"{"job":{"things":["lamp"],"config":{}},"halt":{"min_devices":3}}"#).is_ok());
        for (text, why) in [
            (r#"[{"things":["lamp"]}]"#, "expected an object"),
            (r#"{"job":{"things":["lamp"]},"halt":[5]}"#, "expected an object"),
            (r#"{"job":{"things":["lamp"],"config":[]}}"#, "expected an object"),
            (r#"{"job":{"things":["lamp"]},"other":1}"#, "unknown field"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
