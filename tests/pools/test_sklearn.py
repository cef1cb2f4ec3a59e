"""scikit-learn finds the same with two processes as with one, whatever view it is given."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    RandomForestClassifier,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import RFECV
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LassoCV, LinearRegression, Ridge, SGDClassifier
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from shmkit import share

random = np.random.default_rng(1)
X = random.normal(size=(120, 4))
Y = X @ [1.0, -2.0, 3.0, 0.5] + 0.01 * random.normal(size=120)
TWO = [("a", Ridge()), ("b", LinearRegression())]

TOOLS = {
    "cross_val_score": lambda x, y, n: cross_val_score(LinearRegression(), x, y, n_jobs=n),
    "cross_validate": lambda x, y, n: cross_validate(Ridge(), x, y, n_jobs=n)["test_score"],
    "cross_val_predict": lambda x, y, n: cross_val_predict(Ridge(), x, y, n_jobs=n),
    "learning_curve": lambda x, y, n: learning_curve(Ridge(), x, y, n_jobs=n)[2],
    "validation_curve": lambda x, y, n: validation_curve(
        Ridge(), x, y, param_name="alpha", param_range=[0.1, 1], n_jobs=n
    )[1],
    "grid search": lambda x, y, n: (
        GridSearchCV(Ridge(), {"alpha": [0.1, 1, 10]}, n_jobs=n)
        .fit(x, y)
        .cv_results_["mean_test_score"]
    ),
    "permutation importance": lambda x, y, n: permutation_importance(
        LinearRegression().fit(x, y), x, y, random_state=1, n_jobs=n
    )["importances"],
    "RFECV": lambda x, y, n: RFECV(LinearRegression(), n_jobs=n).fit(x, y).ranking_,
    "LassoCV": lambda x, y, n: LassoCV(n_jobs=n).fit(x, y).coef_,
    "bagging": lambda x, y, n: (
        BaggingRegressor(Ridge(), n_estimators=4, random_state=1, n_jobs=n).fit(x, y).predict(x)
    ),
    "extra trees": lambda x, y, n: (
        ExtraTreesRegressor(5, random_state=1, n_jobs=n).fit(x, y).predict(x)
    ),
    "random forest": lambda x, y, n: (
        RandomForestClassifier(5, random_state=1, n_jobs=n).fit(x, y > 0).predict(x)
    ),
    "stacking": lambda x, y, n: StackingRegressor(TWO, n_jobs=n).fit(x, y).predict(x),
    "voting": lambda x, y, n: VotingRegressor(TWO, n_jobs=n).fit(x, y).predict(x),
    "one against the rest": lambda x, y, n: (
        OneVsRestClassifier(SVC(), n_jobs=n).fit(x, np.sign(y).astype(int)).predict(x)
    ),
    "several targets": lambda x, y, n: (
        MultiOutputRegressor(Ridge(), n_jobs=n).fit(x, np.stack([y, -y], 1)).predict(x)
    ),
    "neighbours": lambda x, y, n: KNeighborsRegressor(n_jobs=n).fit(x, y).predict(x),
    "distances": lambda x, _, n: pairwise_distances(x, n_jobs=n),
    "columns": lambda x, _, n: ColumnTransformer(
        [("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [2, 3])], n_jobs=n
    ).fit_transform(x),
    "union": lambda x, _, n: FeatureUnion(
        [("a", StandardScaler()), ("b", MinMaxScaler())], n_jobs=n
    ).fit_transform(x),
    "SGD": lambda x, y, n: SGDClassifier(random_state=1, n_jobs=n).fit(x, y > 0).coef_,
    "clusters in parallel": lambda x, _, n: np.stack(
        joblib.Parallel(n)(
            joblib.delayed(KMeans(3, n_init=1, random_state=seed).fit_predict)(x) for seed in (1, 2)
        )
    ),
}


@pytest.fixture(scope="module", autouse=True)
def no_workers_left():
    yield
    joblib.externals.loky.get_reusable_executor().shutdown()


@pytest.mark.slow
@pytest.mark.timeout(300)  # two dozen tools, each with workers
def test_two_processes_find_what_one_finds():
    with share(X) as x, share(np.asfortranarray(X)) as f, share(X[::-1]) as r, share(Y) as y:
        given = {
            "array": x,
            "in Fortran order": f,
            "plain reversed": np.asarray(r)[::-1],
            "frame": pd.DataFrame(x, copy=False),
            "frame in Fortran order": pd.DataFrame(f, copy=False),
        }
        with joblib.parallel_config("loky", max_nbytes=0):  # every plain array as a large one
            for name, tool in TOOLS.items():
                expected = tool(X, Y, 1)
                for kind, data in given.items():
                    assert np.allclose(tool(data, y, 2), expected), (name, kind)


@pytest.mark.slow
def test_frames_of_any_size_are_right():
    for rows in (100, 50_000):  # less and more than joblib's max_nbytes
        with share(random.normal(size=(rows, 4))) as x:
            y = x.sum(axis=1)
            for frame in (pd.DataFrame(x, copy=False), pd.DataFrame(x[::-1], copy=False)[::-1]):
                scores = cross_val_score(LinearRegression(), frame, y, cv=3, n_jobs=2)
                assert np.allclose(scores, 1)
