//! Variables in scope. A call's frame lives on the stack; a function value copies what it captures when it is made, so
//! that it may outlive the frame around it (streams are evaluated later).

use std::sync::Arc;

use crate::datum::Datum;

/// A variable's number, as the driver gives it.
pub type VarId = i64;

/// The variables visible to a term.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    names: &'a [VarId],
    values: &'a [Datum],
    captured: Option<&'a Captured>,
    implicit: bool,
}

/// What a function value holds on to.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    vars: Vec<(VarId, Datum)>,
    implicit: Option<Datum>,
}

impl Scope<'static> {
    /// No variables.
    pub const EMPTY: Scope<'static> =
        Scope { names: &[], values: &[], captured: None, implicit: false };
}

impl<'a> Scope<'a> {
    /// The scope of a function's body: its parameters, then what the function captured.
    ///
    /// `implicit` tells whether the first parameter is also `r.row`.
    pub fn call(
        names: &'a [VarId],
        values: &'a [Datum],
        captured: &'a Captured,
        implicit: bool,
    ) -> Scope<'a> {
        Scope { names, values, captured: Some(captured), implicit }
    }

    /// The scope of the body of a function that captured nothing.
    pub fn call_closed(names: &'a [VarId], values: &'a [Datum], implicit: bool) -> Scope<'a> {
        Scope { names, values, captured: None, implicit }
    }

    /// The value of a variable.
    pub fn var(&self, name: VarId) -> Option<&'a Datum> {
        // Of two parameters of one name the later counts.
        if let Some(at) = self.names.iter().rposition(|have| *have == name) {
            return self.values.get(at);
        }
        let captured = self.captured?;
        captured.vars.iter().find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// The value of `r.row`.
    pub fn implicit(&self) -> Option<&'a Datum> {
        if self.implicit { self.values.first() } else { self.captured?.implicit.as_ref() }
    }

    /// Copies the whole scope.
    pub fn capture_all(&self) -> Arc<Captured> {
        let mut vars: Vec<(VarId, Datum)> = Vec::with_capacity(self.names.len());
        // Of two variables of one name the innermost and last counts, and the first that is found is taken.
        vars.extend(self.names.iter().copied().zip(self.values.iter().cloned()).rev());
        if let Some(captured) = self.captured {
            vars.extend(captured.vars.iter().cloned());
        }
        Arc::new(Captured { vars, implicit: self.implicit().cloned() })
    }

    /// Copies what a function needs of this scope.
    pub fn capture(&self, vars: &[VarId], implicit: bool) -> Arc<Captured> {
        let vars = vars.iter().filter_map(|var| Some((*var, self.var(*var)?.clone()))).collect();
        let implicit = if implicit { self.implicit().cloned() } else { None };
        Arc::new(Captured { vars, implicit })
    }
}

impl Captured {
    /// The variables with their values.
    pub fn vars(&self) -> &[(VarId, Datum)] {
        &self.vars
    }

    /// The value of `r.row`.
    pub fn implicit(&self) -> Option<&Datum> {
        self.implicit.as_ref()
    }
}
