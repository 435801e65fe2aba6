//! What an application keeps with a connection: at most one value of each type.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::any::{Any, TypeId};

type Values = BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>;

#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Few connections have any.
    values: Option<Box<Values>>,
    ended: bool,
}

impl Attributes {
    /// Keeps a value, and gives back the one it replaces, or itself after the end: to be dropped when no lock is held.
    pub(super) fn insert(&mut self, value: Arc<dyn Any + Send + Sync>) -> Option<Box<dyn Any + Send + Sync>> {
        if self.ended {
            return Some(Box::new(value));
        }
        let replaced = self.values.get_or_insert_default().insert((*value).type_id(), value)?;
        Some(Box::new(replaced))
    }

    pub(super) fn value<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.values.as_ref()?.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    /// From here on nothing is kept. Gives what was, to be dropped when no lock is held.
    pub(super) fn end(&mut self) -> Option<Box<Values>> {
        self.ended = true;
        self.values.take()
    }
}
