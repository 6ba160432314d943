//! A package index as the solver (`resolvo`) sees it: every relation spelled out in real packages.
//!
//! The solver knows names, candidates of a name (one version each, at most one is chosen), version
//! sets (some candidates of one name), requirements (one of several version sets, tried in order) and
//! constraints (a version set that holds if the name is chosen at all). Debian's terms become:
//!
//! | Debian | solver |
//! |---|---|
//! | package version | candidate of the package's name; the highest version is tried first |
//! | `a (>= 1) \| b` | union of the version sets of `a` that fit, of what provides `a`, of `b`, of what provides `b` |
//! | virtual package | the version sets of its providers, by priority, then by name |
//! | `Conflicts`, `Breaks` | one constraint per real package that it hits, never the package itself |
//! | package already there | the only candidate of its name, without requirements (they hold already) |
//!
//! A virtual name is therefore never a name to the solver, except where nothing provides it: then an
//! empty version set stands for it, so that the explanation can name it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use kiln_model::LockedPackage;
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    Interner, KnownDependencies, NameId, Requirement, SolvableId, SolverCache, StringId,
    VersionSetId, VersionSetUnionId,
};

use super::index::{IndexPackage, MultiArch, PackageIndex, Provided};
use super::relation::{Qualifier, Relation};
use super::version::DebianVersion;

/// A package that is there already and stays as it is.
#[derive(Debug, Clone)]
pub(super) struct Fixed<'a> {
    pub locked: &'a LockedPackage,
    pub version: DebianVersion,
    /// Where the index has this very version; `None` if it has it no more.
    pub place: Option<usize>,
}

/// Which candidates of its name a version set holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Members {
    Only(BTreeSet<u32>),
    AllBut(BTreeSet<u32>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct VersionSet {
    name: NameId,
    members: Members,
    /// What an explanation says after the name.
    text: String,
}

/// What the solver has asked for so far, each thing numbered in the order of asking.
#[derive(Debug, Default)]
struct Tables {
    names: Vec<String>,
    name_ids: BTreeMap<String, NameId>,
    sets: Vec<VersionSet>,
    set_ids: BTreeMap<VersionSet, VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
    union_ids: BTreeMap<Vec<VersionSetId>, VersionSetUnionId>,
}

/// An index and what is already there, for one run of the solver.
///
/// Candidates are numbered by their place in the index; those that the index has no more follow.
#[derive(Debug)]
pub(super) struct Universe<'a> {
    index: &'a PackageIndex,
    /// Packages already there, sorted by name.
    fixed: &'a [Fixed<'a>],
    tables: RefCell<Tables>,
}

/// Packages of one name that meet an alternative.
struct Satisfiers<'a> {
    name: &'a str,
    members: BTreeSet<u32>,
    text: String,
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("an index of 4 billion packages does not fit in memory")
}

impl<'a> Universe<'a> {
    pub fn new(index: &'a PackageIndex, fixed: &'a [Fixed<'a>]) -> Self {
        Self {
            index,
            fixed,
            tables: RefCell::default(),
        }
    }

    /// Returns the requirement that some version of the package is chosen.
    pub fn require(&self, name: &str) -> ConditionalRequirement {
        let members = self.candidates(name).into_iter().collect();
        let text = match self.fixed_place(name) {
            Some(_) => "(already there)".to_owned(),
            None => String::new(),
        };
        self.version_set(name, Members::Only(members), text).into()
    }

    /// Returns the package behind a candidate if the index has it.
    pub fn package(&self, candidate: SolvableId) -> Option<&'a IndexPackage> {
        self.index.packages().get(candidate.into_raw() as usize)
    }

    /// Tells whether a candidate is already there.
    pub fn is_fixed(&self, candidate: u32) -> bool {
        self.fixed_place(self.name_of(candidate))
            .is_some_and(|at| self.fixed_number(at) == candidate)
    }

    fn fixed_place(&self, name: &str) -> Option<usize> {
        self.fixed
            .binary_search_by(|fixed| fixed.locked.name.as_str().cmp(name))
            .ok()
    }

    fn fixed_number(&self, at: usize) -> u32 {
        let place = self.fixed[at].place;
        number(place.unwrap_or(self.index.len() + at))
    }

    /// Returns the numbers of a name's candidates, the preferred one first.
    fn candidates(&self, name: &str) -> Vec<u32> {
        match self.fixed_place(name) {
            Some(at) => vec![self.fixed_number(at)],
            None => self.index.places(name).map(number).collect(),
        }
    }

    fn name_of(&self, candidate: u32) -> &'a str {
        let place = candidate as usize;
        match self.index.packages().get(place) {
            Some(package) => package.name(),
            None => self.fixed[place - self.index.len()].locked.name.as_str(),
        }
    }

    fn version_of(&self, candidate: u32) -> &'a DebianVersion {
        let place = candidate as usize;
        match self.index.packages().get(place) {
            Some(package) => &package.version,
            None => &self.fixed[place - self.index.len()].version,
        }
    }

    fn name_id(&self, name: &str) -> NameId {
        let tables = &mut *self.tables.borrow_mut();
        if let Some(&id) = tables.name_ids.get(name) {
            return id;
        }
        let id = NameId::from_raw(number(tables.names.len()));
        tables.names.push(name.to_owned());
        tables.name_ids.insert(name.to_owned(), id);
        id
    }

    fn version_set(&self, name: &str, members: Members, text: String) -> VersionSetId {
        let name = self.name_id(name);
        let tables = &mut *self.tables.borrow_mut();
        let set = VersionSet {
            name,
            members,
            text,
        };
        if let Some(&id) = tables.set_ids.get(&set) {
            return id;
        }
        let id = VersionSetId(number(tables.sets.len()));
        tables.sets.push(set.clone());
        tables.set_ids.insert(set, id);
        id
    }

    fn union(&self, sets: Vec<VersionSetId>) -> VersionSetUnionId {
        let tables = &mut *self.tables.borrow_mut();
        if let Some(&id) = tables.union_ids.get(&sets) {
            return id;
        }
        let id = VersionSetUnionId(number(tables.unions.len()));
        tables.unions.push(sets.clone());
        tables.union_ids.insert(sets, id);
        id
    }

    /// Tells whether a relation's qualifier lets a candidate in.
    fn admits(&self, relation: &Relation, candidate: u32) -> bool {
        match relation.qualifier {
            Qualifier::Own => true,
            // What the index has no more has lost its fields; it was accepted when it had them.
            Qualifier::Any => self
                .package(SolvableId::from_raw(candidate))
                .is_none_or(|package| package.multi_arch == MultiArch::Allowed),
            Qualifier::Foreign => false,
        }
    }

    /// Returns what meets an alternative: the package of that name, then its providers by priority and
    /// name. Nothing in it is empty.
    fn satisfiers(&self, relation: &'a Relation) -> Vec<Satisfiers<'a>> {
        let constraint = relation.constraint.as_ref();
        let mut all = Vec::new();
        let real: BTreeSet<u32> = self
            .candidates(&relation.name)
            .into_iter()
            .filter(|&candidate| {
                let version = self.version_of(candidate);
                constraint.is_none_or(|constraint| constraint.holds(version))
            })
            .filter(|&candidate| self.admits(relation, candidate))
            .collect();
        if !real.is_empty() {
            let text = constraint.map(ToString::to_string).unwrap_or_default();
            all.push(Satisfiers {
                name: &relation.name,
                members: real,
                text,
            });
        }
        let mut providers = BTreeMap::new();
        for &place in self.index.providers(&relation.name) {
            let package = &self.index.packages()[place];
            if package.name() != &*relation.name
                && package
                    .provides
                    .iter()
                    .any(|provided| meets(provided, relation))
                && self.candidates(package.name()).contains(&number(place))
                && self.admits(relation, number(place))
            {
                let members: &mut BTreeSet<u32> = providers
                    .entry((package.priority, package.name()))
                    .or_default();
                members.insert(number(place));
            }
        }
        for ((_, name), members) in providers {
            let text = format!("(provides {relation})");
            all.push(Satisfiers {
                name,
                members,
                text,
            });
        }
        all
    }

    /// Spells out one clause; `None` if it holds already.
    fn requirement(&self, clause: &'a [Relation], owner: u32) -> Option<Requirement> {
        let mut sets = Vec::new();
        let mut seen = BTreeSet::new();
        for relation in clause {
            for mut satisfiers in self.satisfiers(relation) {
                satisfiers.members.retain(|&member| seen.insert(member));
                if satisfiers
                    .members
                    .iter()
                    .any(|&at| at == owner || self.is_fixed(at))
                {
                    return None;
                }
                if !satisfiers.members.is_empty() {
                    let Satisfiers {
                        name,
                        members,
                        text,
                    } = satisfiers;
                    sets.push(self.version_set(name, Members::Only(members), text));
                }
            }
        }
        if sets.is_empty() {
            let nothing = |relation: &Relation| {
                let members = Members::Only(BTreeSet::new());
                self.version_set(&relation.name, members, self.why_none(relation))
            };
            sets = clause.iter().map(nothing).collect();
        }
        Some(match *sets {
            [only] => only.into(),
            _ => self.union(sets).into(),
        })
    }

    /// Says what an alternative asks for and what there is instead.
    fn why_none(&self, relation: &Relation) -> String {
        let mut text = match &relation.constraint {
            Some(constraint) => format!("{constraint} "),
            None => String::new(),
        };
        let versions = |candidates: Vec<u32>| {
            let versions = candidates
                .into_iter()
                .map(|at| self.version_of(at).to_string());
            versions.collect::<Vec<_>>().join(", ")
        };
        let candidates = self.candidates(&relation.name);
        if relation.qualifier == Qualifier::Foreign {
            text.push_str("[of another architecture]");
        } else if self.fixed_place(&relation.name).is_some() {
            text.push_str(&format!("[already there: {}]", versions(candidates)));
        } else if !candidates.is_empty() {
            text.push_str(&format!("[in the index: {}]", versions(candidates)));
        } else {
            let providers = self.index.providers(&relation.name).iter();
            let providers: BTreeSet<_> = providers
                .map(|&place| self.index.packages()[place].name())
                .collect();
            if providers.is_empty() {
                text.push_str("[not in the index]");
            } else {
                let providers: Vec<_> = providers.into_iter().collect();
                text.push_str(&format!("[only provided by {}]", providers.join(", ")));
            }
        }
        text
    }

    /// Spells out `Conflicts` and `Breaks`: what of each name must not be chosen beside the owner.
    fn constraints(&self, package: &'a IndexPackage, owner: u32) -> Vec<VersionSetId> {
        let mut constraints = Vec::new();
        for relation in &package.conflicts {
            for mut hit in self.satisfiers(relation) {
                hit.members.remove(&owner);
                if hit.members.is_empty() || hit.name == package.name() {
                    continue;
                }
                let text = format!("(`{}` excludes `{relation}`)", package.name());
                constraints.push(self.version_set(hit.name, Members::AllBut(hit.members), text));
            }
        }
        constraints
    }
}

/// Tells whether a provision meets a relation of the same name.
fn meets(provided: &Provided, relation: &Relation) -> bool {
    provided.name == relation.name
        && match (&relation.constraint, &provided.version) {
            (None, _) => true,
            (Some(constraint), Some(version)) => constraint.holds(version),
            (Some(_), None) => false,
        }
}

impl Interner for Universe<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        let candidate = solvable.into_raw();
        format!("{} {}", self.name_of(candidate), self.version_of(candidate))
    }

    fn display_merged_solvables(&self, solvables: &[SolvableId]) -> impl Display + '_ {
        let shown = solvables
            .iter()
            .map(|&solvable| self.display_solvable(solvable).to_string());
        shown
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" | ")
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.tables.borrow().names[name.into_raw() as usize].clone()
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        self.tables.borrow().sets[version_set.0 as usize]
            .text
            .clone()
    }

    fn display_string(&self, _string_id: StringId) -> impl Display + '_ {
        // Strings are reasons of exclusion, and nothing is excluded.
        ""
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.tables.borrow().sets[version_set.0 as usize].name
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        self.name_id(self.name_of(solvable.into_raw()))
    }

    fn version_sets_in_union(
        &self,
        version_set_union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        self.tables.borrow().unions[version_set_union.0 as usize]
            .clone()
            .into_iter()
    }

    fn resolve_condition(&self, _condition: ConditionId) -> Condition {
        unreachable!("Debian has no conditional relations, so no condition was ever made")
    }
}

impl DependencyProvider for Universe<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let tables = self.tables.borrow();
        let holds = |candidate: &SolvableId| match &tables.sets[version_set.0 as usize].members {
            Members::Only(members) => members.contains(&candidate.into_raw()),
            Members::AllBut(members) => !members.contains(&candidate.into_raw()),
        };
        let wanted = candidates
            .iter()
            .filter(|candidate| holds(candidate) != inverse);
        wanted.copied().collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let name = self.tables.borrow().names[name.into_raw() as usize].clone();
        let candidates = self
            .candidates(&name)
            .into_iter()
            .map(SolvableId::from_raw)
            .collect();
        Some(Candidates {
            candidates,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _solver: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        // Numbers follow the index's order: the highest version first.
        solvables.sort_unstable();
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let owner = solvable.into_raw();
        let mut known = KnownDependencies::default();
        if let Some(package) = self.package(solvable) {
            known.constrains = self.constraints(package, owner);
            if !self.is_fixed(owner) {
                let requirements = package
                    .depends
                    .iter()
                    .filter_map(|clause| self.requirement(clause, owner));
                known.requirements = requirements.map(Into::into).collect();
            }
        }
        Dependencies::Known(known)
    }
}
