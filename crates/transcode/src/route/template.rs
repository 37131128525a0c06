//! The path template grammar of `google/api/http.proto`:
//! `/` Segments [`:` verb], where a segment is a literal, `*`, `**` or `{field.path[=segments]}`, and `**` comes last.

use super::Variable;
use crate::percent::{self, Place};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// Decoded.
    Literal(String),
    /// One segment.
    Star,
    /// All that follow, none included.
    Rest,
}

#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) text: String,
    pub(crate) segments: Vec<Segment>,
    pub(crate) verb: Option<String>,
    /// Their field indices are not resolved yet.
    pub(crate) variables: Vec<Variable>,
}

/// The error is a sentence.
pub(super) fn parse(text: &str) -> Result<Template, String> {
    let rest = text.strip_prefix('/').ok_or("A template begins with `/`.")?;
    let mut parser = Parser { rest, segments: Vec::new(), variables: Vec::new() };
    if !rest.is_empty() {
        parser.segments(false)?;
    }
    let verb = match parser.rest.strip_prefix(':') {
        Some("") => return Err("The verb after `:` is empty.".into()),
        Some(verb) if verb.contains(['/', '{', '}', '*', ':']) => {
            return Err(format!("{verb:?} is no verb."));
        }
        Some(verb) => Some(verb.to_owned()),
        None if parser.rest.is_empty() => None,
        None => return Err(format!("{:?} is not expected there.", parser.rest)),
    };
    let last = parser.segments.len().saturating_sub(1);
    if parser.segments.iter().enumerate().any(|(index, segment)| *segment == Segment::Rest && index != last) {
        return Err("`**` must be the last segment.".into());
    }
    if parser.segments.len() > crate::MAX_PATH_SEGMENTS {
        return Err(format!("A template has at most {} segments.", crate::MAX_PATH_SEGMENTS));
    }
    Ok(Template { text: text.into(), segments: parser.segments, verb, variables: parser.variables })
}

struct Parser<'t> {
    rest: &'t str,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

impl Parser<'_> {
    fn segments(&mut self, in_variable: bool) -> Result<(), String> {
        loop {
            self.segment(in_variable)?;
            match self.rest.strip_prefix('/') {
                Some(rest) => self.rest = rest,
                None => return Ok(()),
            }
        }
    }

    fn segment(&mut self, in_variable: bool) -> Result<(), String> {
        if let Some(rest) = self.rest.strip_prefix('{') {
            if in_variable {
                return Err("A variable cannot be inside another.".into());
            }
            self.rest = rest;
            return self.variable();
        }
        if let Some(rest) = self.rest.strip_prefix("**") {
            self.rest = rest;
            self.segments.push(Segment::Rest);
            return Ok(());
        }
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            self.segments.push(Segment::Star);
            return Ok(());
        }
        let end = self.rest.find(['/', ':', '{', '}', '*', '=']).unwrap_or(self.rest.len());
        let (literal, rest) = self.rest.split_at(end);
        if literal.is_empty() {
            return Err("A segment is empty.".into());
        }
        let decoded = percent::decode(literal, Place::Segment).map_err(|error| error.message)?;
        self.segments.push(Segment::Literal(decoded.into_owned()));
        self.rest = rest;
        Ok(())
    }

    fn variable(&mut self) -> Result<(), String> {
        let end = self.rest.find(['=', '}']).ok_or("A variable is not closed.")?;
        let (field_path, rest) = self.rest.split_at(end);
        let word =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !field_path.split('.').all(word) {
            return Err(format!("{field_path:?} is no field path."));
        }
        let from = self.segments.len();
        self.rest = rest;
        if let Some(rest) = self.rest.strip_prefix('=') {
            self.rest = rest;
            self.segments(true)?;
        } else {
            self.segments.push(Segment::Star);
        }
        self.rest = self.rest.strip_prefix('}').ok_or("A variable is not closed.")?;
        let covered = &self.segments[from..];
        let open_end = covered.last() == Some(&Segment::Rest);
        let multi = open_end || covered.len() > 1;
        let to = (!open_end).then_some(self.segments.len());
        self.variables.push(Variable { field_path: field_path.into(), indices: Vec::new(), from, to, multi });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_grammar_is_read() {
        let template = parse("/v1/{order.name=shelves/*/books/**}:archive").unwrap();
        let literal = |text: &str| Segment::Literal(text.into());
        assert_eq!(
            template.segments,
            [literal("v1"), literal("shelves"), Segment::Star, literal("books"), Segment::Rest]
        );
        assert_eq!(template.verb.as_deref(), Some("archive"));
        let variable = &template.variables[0];
        assert_eq!((variable.from, variable.to, variable.multi), (1, None, true));
        assert_eq!(parse("/v1/{id}").unwrap().variables[0].to, Some(2));
        assert!(parse("/").unwrap().segments.is_empty());
    }

    #[test]
    fn what_is_no_template_says_why() {
        for text in [
            "", "v1", "/v1/", "//", "/v1//a", "/{", "/{a", "/{}", "/{a.}", "/{a={b}}", "/**/a", "/a:",
            "/a:b:c", "/a}b", "/{a=}", "/a{b}", "/{a}b", "/a*", "/%zz",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
