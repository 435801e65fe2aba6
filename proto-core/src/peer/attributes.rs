//! What an application keeps with a connection: at most one value of each type.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::any::{Any, TypeId};

type Values = BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// Few connections have any.
#[derive(Debug, Default)]
pub(super) struct Attributes(Option<Box<Kept>>);

#[derive(Debug)]
pub(super) enum Kept {
    Values(Values),
    /// Nothing is kept any more.
    Ended,
}

impl Attributes {
    /// Keeps a value, and gives back the one it replaces, or itself after the end: to be dropped when no lock is held.
    pub(super) fn insert(&mut self, value: Arc<dyn Any + Send + Sync>) -> Option<Box<dyn Any + Send + Sync>> {
        match &mut **self.0.get_or_insert_with(|| Box::new(Kept::Values(Values::new()))) {
            Kept::Values(values) => {
                let replaced = values.insert((*value).type_id(), value)?;
                Some(Box::new(replaced))
            }
            Kept::Ended => Some(Box::new(value)),
        }
    }

    pub(super) fn value<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        match &**self.0.as_ref()? {
            Kept::Values(values) => values.get(&TypeId::of::<T>())?.clone().downcast().ok(),
            Kept::Ended => None,
        }
    }

    /// From here on nothing is kept. Gives what was, to be dropped when no lock is held.
    pub(super) fn end(&mut self) -> Option<Box<Kept>> {
        if matches!(self.0.as_deref(), Some(Kept::Ended)) {
            return None;
        }
        self.0.replace(Box::new(Kept::Ended))
    }
}
