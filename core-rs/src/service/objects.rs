//! What callers hold by handle: models, and tapes of their forward passes.

use super::slots::Slots;
use crate::model::{FrozenModel, LanguageModel, Model, Tape};
use crate::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// A model of either kind.
pub enum AnyModel {
    /// Has gradients and an optimizer.
    Trainable(Model),
    /// Has forward passes alone.
    Frozen(FrozenModel),
}

impl AnyModel {
    /// What both kinds can do.
    pub fn language_model(&self) -> &dyn LanguageModel {
        match self {
            AnyModel::Trainable(model) => model,
            AnyModel::Frozen(model) => model,
        }
    }
}

/// A model that several jobs may read at once, and one may change.
pub type SharedModel = Arc<RwLock<AnyModel>>;

#[derive(Clone)]
enum Object {
    Model(SharedModel),
    Tape { model: usize, tape: Arc<Tape> },
}

/// The table of open objects. Closing a handle frees its object as soon as no job uses it.
#[derive(Default)]
pub struct Objects {
    slots: Mutex<Slots<Object>>,
    take_turns: bool,
}

impl Objects {
    /// Objects that jobs use in turns on one thread.
    pub fn in_turns() -> Self {
        Self { take_turns: true, ..Self::default() }
    }

    /// Whether jobs use them in turns on one thread, which must not be blocked then.
    pub fn take_turns(&self) -> bool {
        self.take_turns
    }

    fn lock(&self) -> MutexGuard<'_, Slots<Object>> {
        self.slots.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn find(&self, handle: usize) -> Result<Object> {
        self.lock().get(handle).cloned()
    }

    fn insert(self: &Arc<Self>, object: Object) -> Result<Grant> {
        let handle = self.lock().insert(object)?;
        Ok(Grant { objects: self.clone(), handle, kept: false })
    }

    /// Opens a model.
    pub fn insert_model(self: &Arc<Self>, model: AnyModel) -> Result<Grant> {
        self.insert(Object::Model(Arc::new(RwLock::new(model))))
    }

    /// Opens a tape of the model behind a handle.
    pub fn insert_tape(self: &Arc<Self>, model: usize, tape: Tape) -> Result<Grant> {
        self.insert(Object::Tape { model, tape: Arc::new(tape) })
    }

    /// The model behind a handle.
    pub fn model(&self, handle: usize) -> Result<SharedModel> {
        match self.find(handle)? {
            Object::Model(model) => Ok(model),
            Object::Tape { .. } => {
                Err(Error::Input(format!("Handle \"{handle}\" is a tape, expected a model")))
            }
        }
    }

    /// The tape behind a handle, which must be one of this model's.
    pub fn tape(&self, handle: usize, model: usize) -> Result<Arc<Tape>> {
        match self.find(handle)? {
            Object::Tape { model: owner, tape } if owner == model => Ok(tape),
            Object::Tape { .. } => {
                Err(Error::Input(format!("Tape \"{handle}\" is of another model than \"{model}\"")))
            }
            Object::Model(_) => Err(Error::Input(format!("Handle \"{handle}\" is a model, expected a tape"))),
        }
    }

    /// Closes a handle; [`Error::Handle`] when it is not open.
    pub fn close(&self, handle: usize) -> Result<()> {
        let object = self.lock().remove(handle)?;
        // Large buffers are freed outside the lock.
        drop(object);
        Ok(())
    }

    /// Number of open objects.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no object is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A handle on its way to the caller: it is closed again unless it arrives.
pub struct Grant {
    objects: Arc<Objects>,
    handle: usize,
    kept: bool,
}

impl Grant {
    /// The handle.
    pub fn handle(&self) -> usize {
        self.handle
    }

    /// Leaves the handle to the caller.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if !self.kept {
            // It may have been closed by its number already; either way it is closed now.
            let _ = self.objects.close(self.handle);
        }
    }
}
