//! The routes as a tree of segments. A literal goes before `*`, and `*` before `**`; every node is visited at most
//! once a request, so no path makes the search long.

use super::template::{Segment, Template};
use crate::names::Table;
use crate::percent::{self, Place};

#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: Table<Node>,
    star: Option<Box<Node>>,
    rest: Option<Box<Node>>,
    /// By verb, then by HTTP method.
    ends: Vec<End>,
}

#[derive(Debug)]
struct End {
    verb: Option<String>,
    http_method: String,
    route: usize,
}

/// What a path leads to.
pub(super) enum Outcome<'p> {
    Route {
        index: usize,
        /// Without the first slash and the verb.
        path: &'p str,
    },
    /// The methods the path has instead; none when nothing has the path.
    Allow(Vec<String>),
}

impl Tree {
    /// The route that was there first, if the place is taken.
    pub(super) fn insert(&mut self, template: &Template, http_method: &str, route: usize) -> Option<usize> {
        let mut node = &mut self.root;
        for segment in &template.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.as_str().into()).or_default(),
                Segment::Star => node.star.get_or_insert_default(),
                Segment::Rest => node.rest.get_or_insert_default(),
            };
        }
        let same = |end: &&End| end.verb == template.verb && end.http_method == http_method;
        if let Some(end) = node.ends.iter().find(same) {
            return Some(end.route);
        }
        node.ends.push(End { verb: template.verb.clone(), http_method: http_method.into(), route });
        None
    }

    pub(super) fn find<'p>(&self, http_method: &str, path: &'p str) -> Outcome<'p> {
        let mut allow = Vec::new();
        let Some(rest) = path.strip_prefix('/') else { return Outcome::Allow(allow) };
        if rest.split('/').count() > crate::MAX_PATH_SEGMENTS {
            return Outcome::Allow(allow);
        }
        // `/a/b:c` is the verb c on `/a/b`, and when nothing has that verb, for no method, the segment `b:c`.
        if let Some((before, verb)) = rest.rsplit_once(':')
            && !verb.contains('/')
        {
            let found =
                (Search { http_method, verb: Some(verb), allow: &mut allow }).walk(&self.root, Some(before));
            if let Some(index) = found {
                return Outcome::Route { index, path: before };
            }
            if !allow.is_empty() {
                return Outcome::allow(allow);
            }
        }
        let whole = Some(rest).filter(|rest| !rest.is_empty());
        let plain = (Search { http_method, verb: None, allow: &mut allow }).walk(&self.root, whole);
        match plain {
            Some(index) => Outcome::Route { index, path: rest },
            None => Outcome::allow(allow),
        }
    }
}

impl Outcome<'_> {
    fn allow(mut methods: Vec<String>) -> Self {
        methods.sort();
        methods.dedup();
        Self::Allow(methods)
    }
}

struct Search<'s> {
    http_method: &'s str,
    verb: Option<&'s str>,
    allow: &'s mut Vec<String>,
}

impl Search<'_> {
    /// `path` is what is left of it; nothing when no segment is.
    fn walk(&mut self, node: &Node, path: Option<&str>) -> Option<usize> {
        let Some(path) = path else {
            return self.end(node).or_else(|| self.end(node.rest.as_deref()?));
        };
        let (segment, after) = path.split_once('/').map_or((path, None), |(head, rest)| (head, Some(rest)));
        let literal =
            percent::decode(segment, Place::Segment).ok().and_then(|text| node.literals.get(&*text));
        literal
            .and_then(|next| self.walk(next, after))
            .or_else(|| if segment.is_empty() { None } else { self.walk(node.star.as_deref()?, after) })
            .or_else(|| self.end(node.rest.as_deref()?))
    }

    /// HEAD is served by GET where it has no route of its own; `*` serves everything.
    fn end(&mut self, node: &Node) -> Option<usize> {
        let here = || node.ends.iter().filter(|end| end.verb.as_deref() == self.verb);
        let with = |method: &str| here().find(|end| end.http_method == method).map(|end| end.route);
        let head = || if self.http_method == "HEAD" { with("GET") } else { None };
        let found = with(self.http_method).or_else(head).or_else(|| with("*"));
        if found.is_none() {
            for end in here() {
                self.allow.push(end.http_method.clone());
                if end.http_method == "GET" {
                    self.allow.push("HEAD".into());
                }
            }
        }
        found
    }
}
