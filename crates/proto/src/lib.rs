//! The contract, compiled: messages, clients and servers by package, the descriptor set, and what each error reason
//! means. It never holds behaviour.

mod reason;
mod wire;

pub use reason::Declared;
pub use wire::{InvalidMoney, time, timestamp};

/// The descriptor set of the whole contract, options included: fed to the kit, the gateway and reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The generated packages, nested as the generated code expects to find itself.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "generated code brings its own style"
)]
mod stampede {
    pub mod common {
        pub mod v1 {
            tonic::include_proto!("stampede.common.v1");
        }
    }
    pub mod policy {
        pub mod v1 {
            tonic::include_proto!("stampede.policy.v1");
        }
    }
    pub mod inventory {
        pub mod v1 {
            tonic::include_proto!("stampede.inventory.v1");
        }
    }
    pub mod order {
        pub mod v1 {
            tonic::include_proto!("stampede.order.v1");
        }
    }
    pub mod payment {
        pub mod v1 {
            tonic::include_proto!("stampede.payment.v1");
        }
    }
    pub mod event {
        pub mod v1 {
            tonic::include_proto!("stampede.event.v1");
        }
    }
}

pub use stampede::{common, event, inventory, order, payment, policy};
