//! Pools compiled from the test files, and short ways to call the crate.

use std::path::PathBuf;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};
use stampede_transcode::{
    ErrorKind, Found, Match, RequestOptions, ResponseOptions, RouteError, Router, Schema, TranscodeError,
};

pub fn compile(files: &[&str]) -> DescriptorPool {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let includes = [root.join("tests/protos"), root.join("../../proto/third_party")];
    let mut compiler = protox::Compiler::new(includes).unwrap();
    compiler.include_source_info(true).include_imports(true).open_files(files).unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

pub static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| compile(&["rich.proto", "shop.proto", "group.proto"]));
pub static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::build(&POOL).unwrap());

pub fn schema() -> &'static Schema {
    ROUTER.schema()
}

pub fn to_wire(message: &str, json: &str) -> Result<Vec<u8>, TranscodeError> {
    let mut out = vec![1, 2, 3];
    let id = schema().message(message).unwrap();
    let result = schema().to_wire(id, json.as_bytes(), &RequestOptions::default(), &mut out);
    assert_eq!(out[..3], [1, 2, 3], "what was there stays");
    if result.is_err() {
        assert_eq!(out.len(), 3, "an error leaves nothing behind");
    }
    result.map(|()| out.split_off(3))
}

pub fn to_json(message: &str, wire: &[u8], emit_defaults: bool) -> Result<String, TranscodeError> {
    let mut out = vec![b'x'];
    let id = schema().message(message).unwrap();
    let result = schema().to_json(id, wire, &ResponseOptions { emit_defaults }, &mut out);
    if result.is_err() {
        assert_eq!(out, b"x", "an error leaves nothing behind");
    }
    result.map(|()| String::from_utf8(out.split_off(1)).unwrap())
}

/// JSON to wire and, sparse, back to JSON.
pub fn round(message: &str, json: &str) -> String {
    let wire = to_wire(message, json).unwrap_or_else(|error| panic!("{json}: {error}"));
    to_json(message, &wire, false).unwrap()
}

pub fn refused(message: &str, json: &str) -> (ErrorKind, String) {
    match to_wire(message, json) {
        Ok(_) => panic!("{json} should have been refused"),
        Err(error) => (error.kind, error.path),
    }
}

pub fn decode(message: &str, wire: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(POOL.get_message_by_name(message).unwrap(), wire).unwrap()
}

pub fn find<'p>(method: &str, path: &'p str) -> Match<'static, 'p> {
    match ROUTER.find(&method.parse().unwrap(), path) {
        Found::Match(found) => found,
        other => panic!("{method} {path}: {other:?}"),
    }
}

/// A routed request as the JSON of the message it became.
pub fn routed(method: &str, target: &str, body: &str) -> Result<String, TranscodeError> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let matched = find(method, path);
    let mut wire = Vec::new();
    matched.request(query, body.as_bytes(), &RequestOptions::default(), &mut wire)?;
    to_json(matched.route.descriptor().input().full_name(), &wire, false)
}

pub fn build(service: &str) -> Result<Router, RouteError> {
    use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
    struct One(String);
    impl FileResolver for One {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == "one.proto" {
                File::from_source(name, &self.0)
            } else {
                Err(protox::Error::file_not_found(name))
            }
        }
    }
    let source = format!(
        "syntax = \"proto3\"; package one; import \"google/api/annotations.proto\";
         message In {{ string a = 1; In inner = 2; repeated string list = 3; }} message Out {{ string b = 1; }}
         service S {{ {service} }}"
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(One(source));
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto/third_party");
    resolver.add(IncludeFileResolver::new(root));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("one.proto").unwrap();
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap();
    Router::build(&pool)
}
