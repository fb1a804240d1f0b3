//! The choice of a sample among many rows: rows of each kind, and the extremes of each kind.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An order of rows; the first ones stand out.
pub(in crate::store) type Ranking<T> = fn(&T, &T) -> Ordering;

/// Extremes that are chosen of one kind and order.
const OUTSTANDING: usize = 3;

/// Chooses at most `most` rows, in their given order: one of each kind in turn, first the rows that
/// come first in each of these rankings, then rows that are spread evenly over the others.
pub(in crate::store) fn choose<T, K: Ord>(
    rows: Vec<T>,
    most: usize,
    kind: impl Fn(&T) -> K,
    rankings: &[Ranking<T>],
) -> Vec<T> {
    if rows.len() <= most {
        return rows;
    }
    let mut kinds: BTreeMap<K, Vec<(usize, &T)>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        kinds.entry(kind(row)).or_default().push((place, row));
    }
    let mut queues: Vec<VecDeque<usize>> = (kinds.into_values())
        .map(|members| queue(&members, most, rankings))
        .collect();
    let mut chosen = BTreeSet::new();
    while chosen.len() < most && queues.iter().any(|queue| !queue.is_empty()) {
        for queue in &mut queues {
            if chosen.len() < most {
                chosen.extend(queue.pop_front());
            }
        }
    }
    let rows = rows.into_iter().enumerate();
    rows.filter(|(place, _)| chosen.contains(place))
        .map(|(_, row)| row)
        .collect()
}

/// The rows of one kind, extremes first.
fn queue<T>(members: &[(usize, &T)], most: usize, rankings: &[Ranking<T>]) -> VecDeque<usize> {
    let mut first: Vec<Vec<usize>> = Vec::new();
    for ranking in rankings {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by(|(_, one), (_, other)| ranking(one, other));
        first.push(
            sorted
                .iter()
                .take(OUTSTANDING)
                .map(|(place, _)| *place)
                .collect(),
        );
    }
    let ranks = 0..OUTSTANDING;
    let outstanding = ranks.flat_map(|rank| first.iter().filter_map(move |list| list.get(rank)));
    // However few are taken, they lie far apart.
    let spread = (0..most as u32).filter_map(|number| {
        let part = u64::from(number.reverse_bits()) * members.len() as u64;
        members.get((part >> u32::BITS) as usize)
    });
    let mut seen = BTreeSet::new();
    (outstanding.copied())
        .chain(spread.map(|(place, _)| *place))
        .chain(members.iter().map(|(place, _)| *place))
        .filter(|place| seen.insert(*place))
        .take(most)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_all_chosen() {
        assert_eq!(choose(vec![3, 1, 2], 3, |_| (), &[]), [3, 1, 2]);
        assert!(choose(vec![3, 1, 2], 0, |_| (), &[]).is_empty());
    }

    #[test]
    fn every_kind_has_its_share_and_what_stands_out_comes_first() {
        let mut rows: Vec<(char, i32)> = (0..1_000).map(|number| ('a', number)).collect();
        rows.insert(500, ('b', 7));
        rows.insert(600, ('c', 1));
        rows.insert(700, ('c', 9));
        let rankings: [Ranking<(char, i32)>; 2] = [
            |one, other| one.1.cmp(&other.1),
            |one, other| other.1.cmp(&one.1),
        ];
        let chosen = choose(rows.clone(), 5, |row| row.0, &rankings);
        let expected = [('a', 0), ('b', 7), ('c', 1), ('c', 9), ('a', 999)];
        assert_eq!(chosen, expected, "in the order in which they came");
        let chosen = choose(rows, 100, |row| row.0, &rankings);
        assert_eq!(chosen.len(), 100);
        let middle = chosen
            .iter()
            .any(|(kind, number)| *kind == 'a' && (300..700).contains(number));
        assert!(middle, "some are spread over the rest: {chosen:?}");
    }
}
