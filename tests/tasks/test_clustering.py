import numpy as np
import pytest

from tasks.clustering import cluster, divide, outlying_groups
from tests.tasks.clouds import cloud, joined

ONES = np.ones(3, np.intp)


def partition(labels: np.ndarray) -> list[list[int]]:
    return sorted(np.flatnonzero(labels == label).tolist() for label in set(labels.tolist()))


def ranges(*sizes: int) -> list[list[int]]:
    ends = np.cumsum(sizes)
    return [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


def test_every_cloud_is_a_cluster() -> None:
    _, vectors = joined(*(cloud(axis, 12) for axis in range(5)))
    assert partition(cluster(vectors, most=20)) == ranges(12, 12, 12, 12, 12)


def test_small_clouds_are_told_apart_before_a_large_one_is_divided() -> None:
    _, vectors = joined(cloud(0, 1000, 0.15), *(cloud(axis, 4, 0.05) for axis in range(1, 5)))
    assert partition(cluster(vectors, most=5, least=5)) == ranges(1000, 4, 4, 4, 4)


def test_what_stands_alone_is_no_good_cluster() -> None:
    _, vectors = cloud(0, 12, spread=2)
    assert len(set(cluster(vectors, most=12).tolist())) < 6


def test_equal_vectors_are_one_cluster() -> None:
    _, vectors = cloud(0, 30, spread=0)
    assert partition(cluster(vectors, most=12)) == ranges(30)


@pytest.mark.parametrize(("most", "least"), [(3, 1), (12, 8), (7, 7)])
def test_there_are_no_more_and_no_fewer_clusters_than_allowed(most: int, least: int) -> None:
    _, vectors = joined(*(cloud(axis, 12) for axis in range(5)))
    assert least <= len(set(cluster(vectors, most, least).tolist())) <= most


def test_of_fewer_vectors_than_clusters_each_is_one() -> None:
    _, vectors = joined(cloud(0, 1), cloud(1, 1))
    assert partition(cluster(vectors, most=12, least=8)) == [[0], [1]]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_is_hardly_anything_can_be_clustered(count: int) -> None:
    _, vectors = cloud(0, count)
    assert len(cluster(vectors, most=120)) == count


def test_a_division_has_exactly_as_many_groups_as_asked_for() -> None:
    _, near = joined(cloud(0, 6), cloud(1, 5), cloud(2, 4))
    assert divide(near, 3) == ranges(6, 5, 4)
    _, equal = cloud(0, 9, spread=0)
    assert sorted(row for rows in divide(equal, 4) for row in rows) == list(range(9))
    assert len(divide(equal, 4)) == 4


def test_outliers_that_are_near_to_each_other_form_a_group() -> None:
    _, vectors = joined(cloud(0, 5), cloud(1, 3), cloud(2, 2), cloud(3, 1))
    away = np.full(11, 0.7, np.float32)
    groups = outlying_groups(vectors, np.ones(11, np.intp), away, price=0.4)
    assert sorted(group.tolist() for group in groups) == ranges(5, 3)


def test_facts_that_have_nothing_in_common_form_no_group() -> None:
    _, vectors = joined(cloud(0, 2, 0.02), *(cloud(axis, 1, 0.02) for axis in range(1, 6)))
    assert outlying_groups(vectors, np.ones(7, np.intp), np.ones(7, np.float32), 0.4) == []


def test_a_group_has_to_save_more_than_its_price() -> None:
    _, vectors = cloud(0, 3, spread=0)
    away = np.full(3, 0.4, np.float32)
    assert outlying_groups(vectors, ONES, away, price=1.21) == []
    assert [group.tolist() for group in outlying_groups(vectors, ONES, away, 1.19)] == ranges(3)


def test_what_a_theme_is_near_to_already_is_no_group() -> None:
    _, vectors = cloud(0, 3, spread=0)
    assert outlying_groups(vectors, ONES, np.zeros(3, np.float32), price=0.1) == []


def test_one_group_is_not_taken_for_two() -> None:
    _, vectors = cloud(0, 20, spread=0.1)
    groups = outlying_groups(vectors, np.ones(20, np.intp), np.full(20, 0.8, np.float32), 0.4)
    assert [group.tolist() for group in groups] == ranges(20)


def test_a_vector_counts_as_often_as_it_stands() -> None:
    _, vectors = cloud(0, 1)
    away = np.full(1, 0.5, np.float32)
    assert outlying_groups(vectors, np.array([2]), away, price=0.6) == []
    assert [group.tolist() for group in outlying_groups(vectors, np.array([3]), away, 0.6)] == [[0]]


def test_without_outliers_there_is_no_group() -> None:
    empty = np.empty((0, 8), np.float32)
    assert outlying_groups(empty, np.empty(0, np.intp), np.empty(0, np.float32), 1.0) == []
