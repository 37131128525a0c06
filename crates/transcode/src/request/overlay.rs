//! What the path and the query bind, as a tree of fields laid over the body. Holds text; it becomes wire bytes when
//! the message it belongs to is written.

use std::borrow::Cow;
use std::cell::Cell;

use super::encode::{Encoder, Place, oneof_conflict};
use super::json::{Json, Next};
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::plan::{FieldPlan, Kind, MessagePlan, Repetition};
use crate::schema::MessageId;
use crate::wire;

/// The bound fields of one message.
#[derive(Debug, Default)]
pub(super) struct Overlay<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    field: usize,
    /// As the caller or the template wrote it, for errors.
    name: Cow<'a, str>,
    node: Node<'a>,
    /// The body had this message too, so it was written there.
    written: Cell<bool>,
}

#[derive(Debug)]
enum Node<'a> {
    /// From the path: nothing may change it.
    Path(Cow<'a, str>),
    /// From the query, once for each time it was given.
    Query(Vec<Cow<'a, str>>),
    Inner(Overlay<'a>),
}

impl<'a> Overlay<'a> {
    fn entry(&mut self, field: usize, name: Cow<'a, str>, node: impl FnOnce() -> Node<'a>) -> &mut Node<'a> {
        let index = self.entries.iter().position(|entry| entry.field == field).unwrap_or_else(|| {
            self.entries.push(Entry { field, name, node: node(), written: Cell::new(false) });
            self.entries.len() - 1
        });
        &mut self.entries[index].node
    }

    /// Binds a path variable. The router has checked that its field path is a singular scalar.
    pub(super) fn bind(&mut self, indices: &[usize], name: Cow<'a, str>, value: Cow<'a, str>) {
        match indices {
            [] => {}
            [field] => {
                self.entry(*field, name, || Node::Path(value));
            }
            [field, rest @ ..] => {
                if let Node::Inner(inner) = self.entry(*field, name.clone(), || Node::Inner(Self::default()))
                {
                    inner.bind(rest, name, value);
                }
            }
        }
    }

    /// Adds a query parameter; `repeated` says whether its field takes more than one.
    pub(super) fn add(
        &mut self,
        indices: &[usize],
        name: Cow<'a, str>,
        value: Cow<'a, str>,
        repeated: bool,
    ) -> Result<(), Fail> {
        let [field, rest @ ..] = indices else { return Ok(()) };
        let fail = |kind, message| Err(TranscodeError::new(kind, None, message));
        if rest.is_empty() {
            return match self.entry(*field, name, || Node::Query(Vec::new())) {
                Node::Query(values) if values.is_empty() || repeated => {
                    values.push(value);
                    Ok(())
                }
                Node::Query(_) => fail(ErrorKind::Duplicate, "The query parameter is given twice."),
                Node::Path(_) => {
                    fail(ErrorKind::PathBound, "The field is taken from the path, not from the query.")
                }
                Node::Inner(_) => {
                    fail(ErrorKind::Duplicate, "The field and fields inside it are both given.")
                }
            };
        }
        match self.entry(*field, name.clone(), || Node::Inner(Self::default())) {
            Node::Inner(inner) => inner.add(rest, name, value, repeated),
            Node::Path(_) | Node::Query(_) => {
                fail(ErrorKind::Duplicate, "The field and fields inside it are both given.")
            }
        }
    }

    /// Whether the field's whole value comes from here.
    pub(super) fn binds(&self, field: usize) -> bool {
        self.entries.iter().any(|entry| entry.field == field && !matches!(entry.node, Node::Inner(_)))
    }

    /// The overlay of a message the body has too; it is written there and not again.
    pub(super) fn enter(&self, field: usize) -> Option<&Self> {
        let entry = self.entries.iter().find(|entry| entry.field == field)?;
        match &entry.node {
            Node::Inner(inner) => {
                entry.written.set(true);
                Some(inner)
            }
            Node::Path(_) | Node::Query(_) => None,
        }
    }
}

impl<'s> Encoder<'s, '_> {
    /// A request that has no body: path and query are all there is.
    pub(super) fn overlay_only(&mut self, id: MessageId, overlay: &Overlay<'_>) -> Result<(), Fail> {
        let plan = self.schema.plan(id);
        let base = self.enter(plan);
        self.rest_of_overlay(plan, base, overlay, 0)
    }

    /// A request whose body is one field.
    pub(super) fn body_field(
        &mut self,
        json: &mut Json<'_>,
        blank: bool,
        id: MessageId,
        index: usize,
        overlay: &Overlay<'_>,
    ) -> Result<(), Fail> {
        let plan = self.schema.plan(id);
        let field = &plan.fields[index];
        let base = self.enter(plan);
        if !blank && json.peek() == Next::Null {
            json.literal("null")?;
        } else if !blank {
            let place = Place { overlay: overlay.enter(index), ..Place::default() };
            self.field(json, field, place).map_err(|error| error.inside(&field.json_name))?;
            if let Some(oneof) = field.oneof {
                self.mark(base, plan.fields.len() + oneof);
            }
        }
        self.rest_of_overlay(plan, base, overlay, 0)
    }

    /// What the body did not carry along.
    pub(super) fn rest_of_overlay(
        &mut self,
        plan: &'s MessagePlan,
        base: usize,
        overlay: &Overlay<'_>,
        depth: usize,
    ) -> Result<(), Fail> {
        for entry in overlay.entries.iter().filter(|entry| !entry.written.get()) {
            let field = &plan.fields[entry.field];
            if let Some(oneof) = field.oneof
                && self.mark(base, plan.fields.len() + oneof)
            {
                return Err(oneof_conflict(plan, oneof, None).inside(&entry.name));
            }
            let written = match &entry.node {
                Node::Path(text) => self.text_field(field, std::slice::from_ref(text)),
                Node::Query(texts) => self.text_field(field, texts),
                Node::Inner(inner) => {
                    self.inner_overlay(field, inner, depth)?;
                    continue;
                }
            };
            written.map_err(|error| error.inside(&entry.name))?;
        }
        Ok(())
    }

    fn inner_overlay(&mut self, field: &FieldPlan, overlay: &Overlay<'_>, depth: usize) -> Result<(), Fail> {
        let Some(id) = field.kind.message() else { return Ok(()) };
        let plan = self.schema.plan(id);
        field.put_tag(self.out);
        let base = self.enter(plan);
        if let Kind::Group(_) = field.kind {
            self.rest_of_overlay(plan, base, overlay, depth + 1)?;
            wire::put_tag(self.out, field.number, wire::GROUP_END);
            return Ok(());
        }
        let start = wire::open(self.out);
        self.rest_of_overlay(plan, base, overlay, depth + 1)?;
        wire::close(self.out, start);
        Ok(())
    }

    fn text_field(&mut self, field: &FieldPlan, texts: &[Cow<'_, str>]) -> Result<(), Fail> {
        if field.repetition == (Repetition::List { packed: true }) {
            field.put_tag(self.out);
            let start = wire::open(self.out);
            for text in texts {
                self.scalar_text(text, field.kind)?;
            }
            wire::close(self.out, start);
            return Ok(());
        }
        for text in texts {
            let before = self.out.len();
            field.put_tag(self.out);
            let zero = if let Kind::Message(id) = field.kind {
                let start = wire::open(self.out);
                self.message_text(text, id)?;
                wire::close(self.out, start);
                false
            } else {
                self.scalar_text(text, field.kind)?
            };
            if zero && field.implicit {
                self.out.truncate(before);
            }
        }
        Ok(())
    }
}
