//! The contract of a component: the types of its functions, one per line, and their difference from
//! those that the host knows.
//!
//! Types in a component carry no versions. A contract before its release shows in the types alone,
//! so they are compared with those of its version, which a test keeps equal to the WIT.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wasmparser::component_types::{
    ComponentDefinedType as Type, ComponentEntityType, ComponentInstanceTypeId, ComponentValType,
};
use wasmparser::types::TypesRef;

use super::bindings::ContractVersion;
use super::world::FUNCTIONS;

/// Most lines; the contract has about a hundred (invariant 9).
const LINES: usize = 2_000;

/// Deepest nesting of types that is examined.
const DEPTH: usize = 32;

/// Most differences in an error.
const TOLD: usize = 3;

/// Types by their places, such as `describe().listings[]`.
type TypeLines = BTreeMap<String, String>;

/// The types of the rules, one per line.
pub(super) fn text(types: TypesRef<'_>, rules: ComponentInstanceTypeId) -> String {
    let mut text = String::new();
    for (place, what) in lines(types, rules) {
        let _ = writeln!(text, "{place}: {what}");
    }
    text
}

/// The difference from the contract of this version; `None` if there is none.
pub(super) fn difference(
    types: TypesRef<'_>,
    rules: ComponentInstanceTypeId,
    version: ContractVersion,
) -> Option<String> {
    let found = lines(types, rules);
    let own: TypeLines = version
        .types()
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(place, what)| (place.to_owned(), what.to_owned()))
        .collect();
    if found == own {
        return None;
    }
    let mut told: Vec<String> = Vec::new();
    for (place, what) in &own {
        match found.get(place) {
            Some(other) if other != what => told.push(differs(place, other, what)),
            _ => {}
        }
    }
    // A function or a parameter is reported by its place.
    if let Some(place) = own.keys().find(|place| !found.contains_key(*place))
        && told.is_empty()
    {
        told.push(format!("it has no `{place}`"));
    }
    if told.is_empty() {
        told.push("its functions take or give more values".into());
    }
    told.truncate(TOLD);
    Some(told.join(", "))
}

/// The difference of one type: by missing or additional names, if it has names.
fn differs(place: &str, found: &str, own: &str) -> String {
    let names = |text: &str| -> Option<Vec<String>> {
        let (_, names) = text.split_once(' ')?;
        Some(names.split(", ").map(str::to_owned).collect())
    };
    let kind = |text: &str| text.split(' ').next().map(str::to_owned);
    if kind(found) == kind(own)
        && let (Some(has), Some(wants)) = (names(found), names(own))
    {
        let not_in = |these: &[String], those: &[String]| {
            let missing = these.iter().filter(|name| !those.contains(name));
            missing
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (not_in(&wants, &has), not_in(&has, &wants)) {
            (lacks, _) if !lacks.is_empty() => return format!("`{place}` lacks {lacks}"),
            (_, more) if !more.is_empty() => return format!("`{place}` has {more} besides"),
            _ => return format!("`{place}` has its members in another order"),
        }
    }
    format!("`{place}` is {found}, not {own}")
}

fn lines(types: TypesRef<'_>, rules: ComponentInstanceTypeId) -> TypeLines {
    let mut walk = TypeWalk {
        types,
        lines: TypeLines::new(),
        depth: 0,
    };
    for function in FUNCTIONS {
        let item = types
            .get(rules)
            .and_then(|rules| rules.exports.get(function));
        let Some(ComponentEntityType::Func(id)) = item.map(|item| item.ty) else {
            continue;
        };
        let Some(ty) = types.get(id) else { continue };
        let names: Vec<_> = ty.params.iter().map(|(name, _)| name.as_str()).collect();
        walk.add(
            function,
            format!("function {}", names.join(", "))
                .trim_end()
                .to_owned(),
        );
        for (name, ty) in &ty.params {
            walk.value(format!("{function}({name})"), *ty);
        }
        if let Some(result) = ty.result {
            walk.value(format!("{function}()"), result);
        }
    }
    walk.lines
}

struct TypeWalk<'t> {
    types: TypesRef<'t>,
    lines: TypeLines,
    depth: usize,
}

impl TypeWalk<'_> {
    fn add(&mut self, place: &str, what: String) {
        if self.lines.len() < LINES {
            self.lines.insert(place.to_owned(), what);
        }
    }

    fn value(&mut self, place: String, ty: ComponentValType) {
        if self.depth >= DEPTH || self.lines.len() >= LINES {
            return;
        }
        self.depth += 1;
        match ty {
            ComponentValType::Primitive(primitive) => self.add(&place, primitive.to_string()),
            ComponentValType::Type(id) => {
                if let Some(ty) = self.types.get(id) {
                    self.defined(place, ty);
                }
            }
        }
        self.depth -= 1;
    }

    fn defined(&mut self, place: String, ty: &Type) {
        let named = |word: &str, names: Vec<&str>| format!("{word} {}", names.join(", "));
        match ty {
            Type::Primitive(primitive) => self.add(&place, primitive.to_string()),
            Type::Record(record) => {
                let names = record.fields.keys().map(|name| name.as_str()).collect();
                self.add(&place, named("record", names));
                for (name, ty) in &record.fields {
                    self.value(format!("{place}.{}", name.as_str()), *ty);
                }
            }
            Type::Variant(variant) => {
                let names = variant.cases.keys().map(|name| name.as_str()).collect();
                self.add(&place, named("variant", names));
                for (name, case) in &variant.cases {
                    if let Some(ty) = case.ty {
                        self.value(format!("{place}.{}", name.as_str()), ty);
                    }
                }
            }
            Type::Enum(names) => {
                self.add(
                    &place,
                    named("enum", names.iter().map(|name| name.as_str()).collect()),
                );
            }
            Type::List { element, .. } => self.value(format!("{place}[]"), *element),
            Type::Option { ty, .. } => self.value(format!("{place}?"), *ty),
            Type::Result { ok, err, .. } => {
                for (name, ty) in [("ok", ok), ("error", err)] {
                    if let Some(ty) = ty {
                        self.value(format!("{place}.{name}"), *ty);
                    }
                }
            }
            _ => self.add(&place, "of another kind".into()),
        }
    }
}
