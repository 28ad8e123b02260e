"""A graph that knows its readers, and models from and into it."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.helpers.small_networks import assert_edges_are_right, assert_same_function, enliven
from tflite.rewriting import simplify_for_deployment
from tflite.rewriting.graph import Graph, Node, Value


def test_calls_that_stay_alike_share_one_layer_again():
    images = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 1, name="shared")
    model = enliven(keras.Model(images, shared(layers.ReLU()(shared(images)))))
    simplified = simplify_for_deployment(model, "coral")
    assert_same_function(model, simplified)
    assert simplified.count_params() == model.count_params()


def test_a_subclassed_model_is_told_how_to_become_functional():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"subclassed model .*keras\.Model\(x, model\.call\(x\)\)"):
        simplify_for_deployment(Subclassed(), "android")


def test_an_unbuilt_model_is_told_how_to_be_built():
    with pytest.raises(ValueError, match="has not been built"):
        simplify_for_deployment(keras.Sequential([layers.Conv2D(3, 1)]), "android")


def test_several_inputs_or_outputs_are_named():
    a, b = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    with pytest.raises(ValueError, match=r"2 inputs \(left, right\)"):
        simplify_for_deployment(keras.Model([a, b], a + b), "android")
    with pytest.raises(ValueError, match="2 outputs"):
        simplify_for_deployment(keras.Model(a, [a + 1.0, a + 2.0]), "android")


def test_what_is_no_keras_model_is_refused():
    with pytest.raises(ValueError, match=r"a keras\.Model is needed, got str"):
        simplify_for_deployment("model.keras", "android")


# --- Edges ---------------------------------------------------------------------------------------


def node(name: str, *inputs: Value, outputs: int = 1) -> Node:
    return Node(name, "Anything", inputs, [(1, 4)] * outputs)


def fork() -> tuple[Graph, Node, Node, Node]:
    """entrance → stem → (left, right) → joint → the output"""
    entrance = node("entrance")
    stem = node("stem", entrance.out)
    left, right = node("left", stem.out), node("right", stem.out)
    joint = node("joint", left.out, right.out)
    return Graph("fork", entrance, joint.out), stem, left, right


def test_a_value_knows_who_reads_it_once_per_reading():
    graph, stem, left, right = fork()
    assert stem.out.readers == (left, right)
    assert stem.out.only_reader is None
    assert left.out.only_reader.name == "joint"
    left.inputs = [stem.out, stem.out]
    assert stem.out.readers.count(left) == 2
    assert graph.output.only_reader is graph.exit


def test_a_node_that_nothing_reads_any_more_is_no_reader():
    graph, stem, left, right = fork()
    graph.replace(left.out, right.out)
    assert stem.out.readers == (right,)
    assert [one.name for one in graph.nodes()] == ["stem", "right", "joint"]
    graph.output.node.inputs = [left.out, right.out]  # read again, it reads again
    assert sorted(one.name for one in stem.out.readers) == ["left", "right"]


def test_what_is_inserted_stands_between_a_value_and_its_readers():
    graph, stem, left, right = fork()
    inserted = graph.insert_after(stem.out, "inserted", "Scale", scale=2.0)
    assert stem.out.readers == (inserted,)
    assert inserted.out.readers == (left, right)
    assert inserted.config == {"scale": 2.0}
    last = graph.insert_after(graph.output, "last", "Scale")
    assert graph.output is last.out
    only_left = graph.insert_after(inserted.out, "only left", "Scale", [left])
    assert left.inputs == (only_left.out,)
    assert set(inserted.out.readers) == {only_left, right}


def test_a_graph_may_be_as_deep_as_it_likes():
    entrance = last = node("entrance")
    for index in range(3000):
        last = node(str(index), last.out)
    graph = Graph("deep", entrance, last.out)
    assert len(graph.nodes()) == 3000
    assert entrance.out.only_reader.name == "0"
    graph.replace(last.out, entrance.out)
    assert entrance.out.readers == (graph.exit,)


def test_edges_hold_through_any_rewriting():
    """Two hundred random edits; after each the readers are those that a walk finds."""
    rng = np.random.default_rng(0)
    made = [node("entrance", outputs=1)]
    for index in range(30):
        picked = [made[i] for i in rng.integers(len(made), size=rng.integers(1, 4))]
        values = [one.outputs[rng.integers(len(one.outputs))] for one in picked]
        made.append(node(str(index), *values, outputs=int(rng.integers(1, 3))))
    graph = Graph("random", made[0], made[-1].out)
    for step in range(200):
        alive = graph.nodes()
        # A node may read what was made before it, alive or not: the order is that of `made`.
        low, high = sorted(rng.choice(len(made), size=2, replace=False))
        old, new = made[high].out, made[low].out
        if step % 3 == 0 and made[high] in alive:
            graph.replace(old, new)
        elif step % 3 == 1:
            made[high].inputs = [new, *made[high].inputs[1:]]
        elif made[low].is_live:
            made.insert(low + 1, graph.insert_after(new, f"step {step}", "Anything"))
        assert_edges_are_right(graph)
        if not graph.nodes():
            graph.exit.inputs = [made[-1].out]
