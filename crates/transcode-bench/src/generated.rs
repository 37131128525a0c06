//! prost's types of the order and pbjson's serde code for them, as their build scripts make them.
#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated; two of the messages are measured"
)]

macro_rules! package {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
        include!(concat!(env!("OUT_DIR"), "/", $name, ".serde.rs"));
    };
}

pub mod common {
    pub mod v1 {
        package!("stampede.common.v1");
    }
}

pub mod payment {
    pub mod v1 {
        package!("stampede.payment.v1");
    }
}

pub mod order {
    pub mod v1 {
        package!("stampede.order.v1");
    }
}
