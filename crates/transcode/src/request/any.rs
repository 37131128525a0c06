//! `google.protobuf.Any`: the one value whose type stands inside it, anywhere among its keys. The object is scanned
//! for `@type` first and then read as that type; how often that may nest is bounded.

use super::encode::{Encoder, Place};
use super::excerpt;
use super::json::Json;
use crate::error::{ErrorKind, Fail};
use crate::wire::{self, LENGTH};

impl Encoder<'_, '_> {
    pub(super) fn any(&mut self, json: &mut Json<'_>, place: Place<'_>) -> Result<(), Fail> {
        if self.nested_any >= crate::MAX_NESTED_ANY {
            return Err(json.fail(ErrorKind::TooDeep, "An Any is nested in too many others."));
        }
        let Some(url) = type_url(*json, place.depth)? else {
            // An object with no key at all is the empty Any.
            json.begin_object()?;
            return match json.next_key(&mut true)? {
                None => Ok(()),
                Some(_) => {
                    Err(json.fail(ErrorKind::Missing, "An Any needs its type in `@type`.").inside("@type"))
                }
            };
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let Some(id) = self.schema.message(name).filter(|_| url.contains('/')) else {
            let message = format!("The type {} is not known.", excerpt(&url));
            return Err(json.fail(ErrorKind::Unsupported, message).inside("@type"));
        };
        wire::put_tag(self.out, 1, LENGTH);
        self.put_bytes(url.as_bytes());
        wire::put_tag(self.out, 2, LENGTH);
        let start = wire::open(self.out);
        self.nested_any += 1;
        if self.schema.plan(id).boxed_in_any {
            self.boxed_value(json, id, place)?;
        } else {
            self.message(json, id, Place { in_any: true, ..place.inner() })?;
        }
        self.nested_any -= 1;
        if self.out.len() == start {
            self.out.truncate(start - 2);
            return Ok(());
        }
        wire::close(self.out, start);
        Ok(())
    }

    /// A type with a JSON form of its own stands under the key `value`.
    fn boxed_value(
        &mut self,
        json: &mut Json<'_>,
        id: crate::MessageId,
        place: Place<'_>,
    ) -> Result<(), Fail> {
        json.begin_object()?;
        let (mut first, mut found) = (true, false);
        while let Some(key) = json.next_key(&mut first)? {
            match &*key {
                "@type" => json.skip(place.depth)?,
                "value" if !found => {
                    self.message(json, id, place.inner()).map_err(|error| error.inside("value"))?;
                    found = true;
                }
                other => {
                    let message =
                        format!("This Any has only `@type` and one `value`, not {}.", excerpt(other));
                    return Err(json.fail(ErrorKind::UnknownField, message).inside(other));
                }
            }
        }
        if found { Ok(()) } else { Err(json.fail(ErrorKind::Missing, "This Any has no `value`.")) }
    }
}

/// Looks ahead for `@type`; the reader handed in stays where it is.
fn type_url(mut json: Json<'_>, depth: usize) -> Result<Option<String>, Fail> {
    json.begin_object()?;
    let mut first = true;
    while let Some(key) = json.next_key(&mut first)? {
        if key == "@type" {
            return json.string().map(|url| Some(url.into_owned())).map_err(|error| error.inside("@type"));
        }
        json.skip(depth + 1)?;
    }
    Ok(None)
}
