//! Completes layers of many images. Each layer is unpacked once to find what it has, whatever lies above it: one view of
//! the layers below is carried up each chain, and copied where chains part.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use rayon::prelude::*;

use crate::content::Content;
use crate::error::is_bad;
use crate::layer::Completion;
use crate::layer::v1_outline::Outline;
use crate::layer::v1_view::View;
use crate::spec::digest::Digest;

/// The most bytes to add to layers that are kept until all threads write them.
const MAX_FOUND: usize = 16 << 20;

/// Docker 1.x cannot mount more layers, so those above need no completion.
const MAX_BELOW: usize = 127;

/// A layer in a chain.
#[derive(Debug)]
pub struct Place<'a> {
    /// The layers below, base first.
    pub below: &'a [Digest],
    pub layer: Digest,
}

/// The content of a layer, and its outline.
type LayerOf<'a> = dyn Fn(&Digest) -> (Content, Option<Arc<Outline>>) + Sync + 'a;

/// Makes one for each place of a layer, by their numbers.
type Make<'a, T> = dyn Fn(&[usize], Option<Completion>) -> anyhow::Result<Vec<T>> + Sync + 'a;

/// Gives what `make` makes of each layer and its completion. `layer_of` gives the content of a layer, and its outline if
/// it is known already. There is no completion if a chain is too long, or if a layer is not a valid tar or has too many
/// paths: then the layer is served as it is.
///
/// # Errors
/// When a layer cannot be read, or the first error of `make`.
pub fn complete<T: Send + Sync>(
    places: &[Place<'_>],
    layer_of: &LayerOf<'_>,
    make: &Make<'_, T>,
) -> anyhow::Result<Vec<T>> {
    let mut tree = Tree {
        nodes: Vec::new(),
        layer_of,
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
    layer_of: &'a LayerOf<'a>,
    make: &'a Make<'a, T>,
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
        // What is found out here one after the other is written by all threads.
        let mut found: Vec<(usize, Option<Completion>)> = Vec::new();
        loop {
            let outline = self.find(index, below, view.as_ref(), &mut found)?;
            let node = &self.nodes[index];
            let largest = node
                .above
                .iter()
                .max_by_key(|above| self.nodes[**above].size);
            let completions = found
                .iter()
                .filter_map(|(_, completion)| completion.as_ref());
            let bytes: usize = completions.map(Completion::bytes).sum();
            if largest.is_none() {
                // While this thread waits for others it may begin another chain.
                view = None;
            }
            if largest.is_none() || bytes > MAX_FOUND {
                self.make_all(&mut found)?;
            }
            let Some(largest) = largest.copied() else {
                return Ok(());
            };
            view = match (view, outline) {
                (Some(mut view), Some(outline)) => view.apply(&outline).ok().map(|()| view),
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
                    let mut found = Vec::new();
                    self.find(*other, below, view.as_ref(), &mut found)?;
                    return self.make_all(&mut found);
                }
                self.climb(*other, below, view.clone())
            })?;
            index = largest;
        }
    }

    fn make_all(&self, found: &mut Vec<(usize, Option<Completion>)>) -> anyhow::Result<()> {
        // One by one: halves of the list would give the long ones to one thread.
        let found = found.par_drain(..).with_max_len(1);
        found.try_for_each(|(node, completion)| {
            let places = &self.nodes[node].places;
            for (place, made) in places.iter().zip((self.make)(places, completion)?) {
                let _ = self.made[*place].set(made);
            }
            Ok(())
        })
    }

    /// Finds the completions of the layer of a node; gives what it has.
    fn find(
        &self,
        index: usize,
        below: usize,
        view: Option<&View>,
        found: &mut Vec<(usize, Option<Completion>)>,
    ) -> anyhow::Result<Option<Arc<Outline>>> {
        let node = &self.nodes[index];
        let view = view.filter(|_| below <= MAX_BELOW);
        let (content, known) = (self.layer_of)(&node.layer);
        let outline = match known {
            Some(known) => Some(known),
            None => match view.map(|_| Outline::of(&content)).transpose() {
                Err(error) if !is_bad(&error) => return Err(error),
                outline => outline.ok().flatten().map(Arc::new),
            },
        };
        if !node.places.is_empty() {
            let completion = view.zip(outline.as_ref()).and_then(|(view, outline)| {
                let completion = Completion::above(view, outline, &content);
                completion.ok()
            });
            found.push((index, completion));
        }
        Ok(outline)
    }
}
