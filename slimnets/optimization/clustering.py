"""Weights of a layer that share a few values: clustering."""

from __future__ import annotations

import keras
import tf_keras

from slimnets.optimization.bridge import to_tf_keras
from slimnets.optimization.legacy_tools import clustering as plain
from slimnets.optimization.legacy_tools import sparse_clustering as experimental
from slimnets.optimization.selection import wrapped_in


def cluster(
    model: keras.Model, clusters: int = 16, *, preserve_sparsity: bool = False
) -> tf_keras.Model:
    """The network with few different values in each layer's weights, which are trained on.

    Of each convolution but the first, and of each dense layer with more weights than values. After
    `fit`, `from_tf_keras(clustered, into=model)` brings the weights back.

    Conversion folds batch norms into weights, a factor for each output channel, and so many times
    more values come of it. Cluster the network without them, as `optimize` does:
    `tflite.simplify_for_deployment(model, "android", "float32", batch_size=None)`.

    Args:
        model: a trained Keras 3 model, which stays as it is.
        clusters: different values a layer, 2 to 256.
        preserve_sparsity: weights that are 0 stay 0.

    Returns:
        A tf_keras model to compile and fit.

    Raises:
        ValueError: a number that is none of these, a model that the bridge does not take.
    """
    if not isinstance(clusters, int) or isinstance(clusters, bool) or not 2 <= clusters <= 256:
        raise ValueError(f"clusters must be a whole number from 2 to 256, got {clusters!r:.80}.")
    if preserve_sparsity and clusters < 3:
        raise ValueError("clusters must be 3 or more where one of them is 0 and stays.")
    options = {
        "number_of_clusters": clusters,
        "cluster_centroids_init": plain.CentroidInitialization.KMEANS_PLUS_PLUS,
    }

    def wrapper(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if preserve_sparsity:
            return experimental.cluster_weights(layer, preserve_sparsity=True, **options)
        return plain.cluster_weights(layer, **options)

    return wrapped_in(
        to_tf_keras(model), wrapper, lambda kernel: kernel.shape.num_elements() > 2 * clusters
    )
