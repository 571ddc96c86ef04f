//! Completes layers of many images. Each layer is unpacked once to find what it has, whatever lies above it: one view of
//! the layers below is carried up each chain, and copied where chains part.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::content::Content;
use crate::error::is_bad;
use crate::layer::Completion;
use crate::layer::v1_entries::Entries;
use crate::layer::v1_view::View;
use crate::spec::digest::Digest;

/// Docker 1.x cannot mount more layers, so those above need no completion.
const MAX_BELOW: usize = 127;

/// A layer in a chain.
#[derive(Debug)]
pub struct Place<'a> {
    /// The layers below, base first.
    pub below: &'a [Digest],
    pub layer: Digest,
}

/// Gives what `make` makes of each layer and its completion. There is no completion if a chain is too long, or if a
/// layer is not a valid tar or has too many paths: then the layer is served as it is.
///
/// # Errors
/// When a layer cannot be read, or the first error of `make`.
pub fn complete<T: Send + Sync>(
    places: &[Place<'_>],
    content: &(dyn Fn(&Digest) -> Content + Sync),
    make: &(dyn Fn(usize, Option<Completion<'_>>) -> anyhow::Result<T> + Sync),
) -> anyhow::Result<Vec<T>> {
    let mut tree = Tree {
        nodes: Vec::new(),
        content,
        make,
        made: places.iter().map(|_| OnceLock::new()).collect(),
    };
    let roots = tree.grow(places);
    roots
        .par_iter()
        .try_for_each(|root| tree.climb(*root, 0, Some(View::default())))?;
    let results = tree.made.into_iter();
    results
        .map(|result| result.into_inner().context("every layer was made"))
        .collect()
}

/// A layer above those on the way to it.
struct Node {
    layer: Digest,
    /// The numbers of the places that this is.
    places: Vec<usize>,
    above: Vec<usize>,
    /// The number of nodes from here on.
    size: usize,
}

struct Tree<'a, T> {
    nodes: Vec<Node>,
    content: &'a (dyn Fn(&Digest) -> Content + Sync),
    make: &'a (dyn Fn(usize, Option<Completion<'_>>) -> anyhow::Result<T> + Sync),
    made: Vec<OnceLock<T>>,
}

impl<T: Send + Sync> Tree<'_, T> {
    /// Adds the nodes of all places; gives the roots.
    fn grow(&mut self, places: &[Place<'_>]) -> Vec<usize> {
        let mut known: BTreeMap<(Option<usize>, Digest), usize> = BTreeMap::new();
        let mut roots = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let mut at = None;
            for layer in place.below.iter().chain([&place.layer]) {
                let next = *known.entry((at, *layer)).or_insert_with(|| {
                    let index = self.nodes.len();
                    match at {
                        Some(below) => self.nodes[below].above.push(index),
                        None => roots.push(index),
                    }
                    self.nodes.push(Node {
                        layer: *layer,
                        places: Vec::new(),
                        above: Vec::new(),
                        size: 1,
                    });
                    index
                });
                at = Some(next);
            }
            if let Some(at) = at {
                self.nodes[at].places.push(number);
            }
        }
        // Nodes come after those below them.
        for index in (0..self.nodes.len()).rev() {
            let above: usize = self.nodes[index]
                .above
                .iter()
                .map(|above| self.nodes[*above].size)
                .sum();
            self.nodes[index].size += above;
        }
        roots
    }

    /// Completes a node and those above it. Without a view none can be completed. The largest branch goes last and takes
    /// the view along: so there are never more views at a time than the logarithm of the number of nodes, per thread.
    fn climb(&self, root: usize, below: usize, view: Option<View>) -> anyhow::Result<()> {
        let (mut index, mut below, mut view) = (root, below, view);
        loop {
            let entries = self.node(index, below, view.as_ref())?;
            let node = &self.nodes[index];
            let largest = node
                .above
                .iter()
                .max_by_key(|above| self.nodes[**above].size);
            let Some(largest) = largest.copied() else {
                return Ok(());
            };
            view = match (view, entries) {
                (Some(mut view), Some(entries)) => view.apply(&entries).ok().map(|()| view),
                _ => None,
            };
            below += 1;
            let others: Vec<usize> = node
                .above
                .iter()
                .copied()
                .filter(|other| *other != largest)
                .collect();
            others.par_iter().try_for_each(|other| {
                if self.nodes[*other].above.is_empty() {
                    return self.node(*other, below, view.as_ref()).map(drop);
                }
                self.climb(*other, below, view.clone())
            })?;
            index = largest;
        }
    }

    /// Completes the layer of a node; gives what it has.
    fn node(
        &self,
        index: usize,
        below: usize,
        view: Option<&View>,
    ) -> anyhow::Result<Option<Entries>> {
        let node = &self.nodes[index];
        let content = (self.content)(&node.layer);
        let view = view.filter(|_| below <= MAX_BELOW);
        let entries = match view.map(|_| Entries::of(&content)).transpose() {
            Err(error) if !is_bad(&error) => return Err(error),
            entries => entries.ok().flatten(),
        };
        for place in &node.places {
            let completion = view.zip(entries.as_ref()).and_then(|(view, entries)| {
                let completion = Completion::above(view, entries, &content);
                completion.ok()
            });
            let _ = self.made[*place].set((self.make)(*place, completion)?);
        }
        Ok(entries)
    }
}
