//! What an application keeps with a connection: at most one value of each type.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::any::{Any, TypeId};

#[derive(Debug, Default)]
pub(super) struct Attributes(BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Attributes {
    /// Keeps a value, and gives back the one it replaces: to be dropped when no lock is held.
    pub(super) fn insert(&mut self, value: Arc<dyn Any + Send + Sync>) -> Option<Box<dyn Any + Send + Sync>> {
        let replaced = self.0.insert((*value).type_id(), value)?;
        Some(Box::new(replaced))
    }

    pub(super) fn value<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
