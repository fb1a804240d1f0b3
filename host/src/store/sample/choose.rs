//! Which of many rows make a good sample: something of each kind, and of each kind what stands out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// In which order two rows stand out.
pub(super) type Order<T> = fn(&T, &T) -> Ordering;

/// Chooses at most `most` rows, in the order in which they came: in turn one of each kind, the first of each of these
/// orders before the second of any, and some spread evenly over the rest.
pub(super) fn choose<T, K: Ord>(
    rows: Vec<T>,
    most: usize,
    kind: impl Fn(&T) -> K,
    orders: &[Order<T>],
) -> Vec<T> {
    if rows.len() <= most {
        return rows;
    }
    let mut kinds: BTreeMap<K, Vec<(usize, &T)>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        kinds.entry(kind(row)).or_default().push((place, row));
    }
    let mut queues: Vec<VecDeque<usize>> = (kinds.into_values())
        .map(|members| queue(&members, most, orders))
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

/// The rows of one kind, what stands out first.
fn queue<T>(members: &[(usize, &T)], most: usize, orders: &[Order<T>]) -> VecDeque<usize> {
    let spread = members.iter().step_by((members.len() / most.max(1)).max(1));
    let mut lists = vec![spread.map(|(place, _)| *place).collect::<Vec<_>>()];
    for order in orders {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by(|(_, one), (_, other)| order(one, other));
        lists.push(sorted.iter().take(most).map(|(place, _)| *place).collect());
    }
    // The orders first: the spread fills up.
    lists.rotate_left(1);
    let mut seen = BTreeSet::new();
    let ranks = (0..most).flat_map(|rank| lists.iter().filter_map(move |list| list.get(rank)));
    ranks
        .filter(|place| seen.insert(**place))
        .copied()
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
        let orders: [Order<(char, i32)>; 2] = [
            |one, other| one.1.cmp(&other.1),
            |one, other| other.1.cmp(&one.1),
        ];
        let chosen = choose(rows.clone(), 5, |row| row.0, &orders);
        let expected = [('a', 0), ('b', 7), ('c', 1), ('c', 9), ('a', 999)];
        assert_eq!(chosen, expected, "in the order in which they came");
        let chosen = choose(rows, 100, |row| row.0, &orders);
        assert_eq!(chosen.len(), 100);
        let middle = chosen
            .iter()
            .any(|(kind, number)| *kind == 'a' && (300..700).contains(number));
        assert!(middle, "some are spread over the rest: {chosen:?}");
    }
}
