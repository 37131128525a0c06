//! The gate's scripts: called by their hash, sent whole to a node that does not know them (a new one, one after a failover,
//! one whose scripts were flushed).

use redis::{Arg, Cmd, ErrorKind, RedisError, ServerErrorKind};

/// What both forms of a call do not share: the command and the script's name.
const NAME: usize = 2;

pub struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call of so many keys; they come first, then the arguments.
    pub fn call(&self, keys: usize) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(keys);
        call
    }

    /// The same call with the script in it, which the node remembers.
    pub(super) fn whole(&self, call: &Cmd) -> Cmd {
        let mut whole = redis::cmd("EVAL");
        whole.arg(self.code);
        for arg in call.args_iter().skip(NAME) {
            if let Arg::Simple(bytes) = arg {
                whole.arg(bytes);
            }
        }
        whole
    }
}

pub(super) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

pub struct Scripts {
    pub admit: Script,
    pub settle: Script,
    pub load: Script,
    pub shift: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            admit: Script::new(include_str!("../admit.lua")),
            settle: Script::new(include_str!("../settle.lua")),
            load: Script::new(include_str!("../load.lua")),
            shift: Script::new(include_str!("../shift.lua")),
        }
    }
}
