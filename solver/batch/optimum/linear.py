"""The choke point to OR-Tools: linear and integer programs as numpy columns.

A Program collects variables, rows and terms; GLOP solves it as a linear program, CP-SAT as an
integer one. OR-Tools is imported with this module and nowhere else.

SolveFailed            no usable answer; the text says which program and why
├── Infeasible         no solution exists: a defect of the model, never of the input
└── OutOfTime          none was found in the time given
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from ortools.math_opt import (
    callback_pb2,
    model_parameters_pb2,
    model_pb2,
    parameters_pb2,
    result_pb2,
    solution_pb2,
)
from ortools.math_opt.core.python import solver

from solver.batch.columns.arrays import Floats, Ints

INFINITY = float("inf")


class SolveFailed(Exception):
    """A program without a usable answer."""


class Infeasible(SolveFailed):
    """No solution exists."""


class OutOfTime(SolveFailed):
    """No solution was found in time."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """value: the objective; x: per variable; duals: per row (what one more unit of its limit is worth).

    proven: no solution is better
    """

    value: float
    x: Floats
    duals: Floats
    proven: bool = True


class Program:
    """Minimise or maximise a linear objective under rows of linear limits.

    A linear program that is solved again, with other costs or more rows, begins where the last one ended.
    """

    def __init__(self) -> None:
        self.variables = 0
        self.rows = 0
        self._cost: list[Floats] = []
        self._upper: list[Floats] = []
        self._limits: list[tuple[Floats, Floats]] = []
        self._terms: list[tuple[Ints, Ints, Floats]] = []
        self._basis = solution_pb2.BasisProto()

    def add_variables(self, cost: ArrayLike, upper: ArrayLike = INFINITY) -> Ints:
        """Non-negative variables with these objective coefficients; returns their positions."""
        costs = np.asarray(cost, dtype=np.float64)
        self._cost.append(costs)
        self._upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), costs.shape))
        self.variables += len(costs)
        return np.arange(self.variables - len(costs), self.variables, dtype=np.int64)

    def add_rows(self, lower: ArrayLike, upper: ArrayLike) -> Ints:
        """Rows `lower <= terms <= upper`; returns their positions."""
        low, high = np.broadcast_arrays(np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64))
        self._limits.append((low, high))
        self.rows += len(low)
        return np.arange(self.rows - len(low), self.rows, dtype=np.int64)

    def add_terms(self, rows: ArrayLike, variables: ArrayLike, coefficients: ArrayLike) -> None:
        """Add coefficient x variable to a row, each pair at most once."""
        parts = np.broadcast_arrays(np.asarray(rows), np.asarray(variables), np.asarray(coefficients, dtype=np.float64))
        self._terms.append((parts[0].astype(np.int64), parts[1].astype(np.int64), parts[2]))

    def set_cost(self, cost: Floats) -> None:
        """Another objective over all variables so far."""
        self._cost = [cost]

    def solve(self, *, maximize: bool) -> Optimum:
        """The optimum of the linear program. Raises Infeasible."""
        parameters = parameters_pb2.SolveParametersProto()
        parameters.glop.use_scaling = False  # The coefficients are small numbers: a fifth faster without.
        result = self._run(self._model(maximize, integer=False), parameters_pb2.SOLVER_TYPE_GLOP, parameters)
        if not result.solutions:
            raise Infeasible(f"linear program of {self.rows} rows: {result.termination.detail or 'no solution'}")
        best = result.solutions[0]
        self._basis = best.basis
        return Optimum(
            best.primal_solution.objective_value,
            np.array(best.primal_solution.variable_values.values),
            np.array(best.dual_solution.dual_values.values),
        )

    def solve_integer(self, seconds: float, *, maximize: bool) -> Optimum:
        """The best integer solution found in time; `value` is its objective. Raises OutOfTime or Infeasible."""
        parameters = parameters_pb2.SolveParametersProto(threads=1, random_seed=1)
        parameters.time_limit.FromNanoseconds(int(seconds * 1e9))
        # The programs are small and their relaxations tight: a third of the time with all of them in the relaxation
        # and little preparation; looking for symmetries has been seen to overrun the time limit.
        parameters.cp_sat.linearization_level = 2
        parameters.cp_sat.cut_level = 0
        parameters.cp_sat.cp_model_probing_level = 0
        parameters.cp_sat.symmetry_level = 0
        parameters.cp_sat.max_presolve_iterations = 0
        result = self._run(self._model(maximize, integer=True), parameters_pb2.SOLVER_TYPE_CP_SAT, parameters)
        if not result.solutions:
            impossible = result.termination.reason == result_pb2.TERMINATION_REASON_INFEASIBLE
            failure = Infeasible if impossible else OutOfTime
            raise failure(f"integer program of {self.rows} rows and {self.variables} variables in {seconds:.2f} s")
        best = result.solutions[0].primal_solution
        proven = result.termination.reason == result_pb2.TERMINATION_REASON_OPTIMAL
        return Optimum(
            best.objective_value, np.round(np.array(best.variable_values.values)), np.zeros(self.rows), proven
        )

    def _model(self, maximize: bool, integer: bool) -> model_pb2.ModelProto:
        model = model_pb2.ModelProto()
        model.variables.ids.extend(range(self.variables))
        model.variables.lower_bounds.extend(np.zeros(self.variables).tolist())
        model.variables.upper_bounds.extend(np.concatenate(self._upper).tolist())
        model.variables.integers.extend([integer] * self.variables)
        model.linear_constraints.ids.extend(range(self.rows))
        model.linear_constraints.lower_bounds.extend(np.concatenate([low for low, _ in self._limits]).tolist())
        model.linear_constraints.upper_bounds.extend(np.concatenate([high for _, high in self._limits]).tolist())
        self._fill_matrix(model)
        model.objective.maximize = maximize
        cost = np.concatenate(self._cost)
        used = np.flatnonzero(cost)
        model.objective.linear_coefficients.ids.extend(used.tolist())
        model.objective.linear_coefficients.values.extend(cost[used].tolist())
        return model

    def _fill_matrix(self, model: model_pb2.ModelProto) -> None:
        rows, columns, values = (np.concatenate(part) for part in zip(*self._terms, strict=True))
        order = np.lexsort((columns, rows))
        model.linear_constraint_matrix.row_ids.extend(rows[order].tolist())
        model.linear_constraint_matrix.column_ids.extend(columns[order].tolist())
        model.linear_constraint_matrix.coefficients.extend(values[order].tolist())

    def _run(
        self, model: model_pb2.ModelProto, kind: int, parameters: parameters_pb2.SolveParametersProto
    ) -> result_pb2.SolveResultProto:
        return solver.solve(
            model,
            kind,
            parameters_pb2.SolverInitializerProto(),
            parameters,
            self._start(),
            None,
            callback_pb2.CallbackRegistrationProto(),
            None,
            None,
        )

    def _start(self) -> model_parameters_pb2.ModelSolveParametersProto:
        """Where the last linear program ended, if there was one; rows and variables added since begin slack."""
        start = model_parameters_pb2.ModelSolveParametersProto()
        if self._basis.constraint_status.ids:
            for entry, size, status in (
                (self._basis.constraint_status, self.rows, solution_pb2.BASIS_STATUS_BASIC),
                (self._basis.variable_status, self.variables, solution_pb2.BASIS_STATUS_AT_LOWER_BOUND),
            ):
                added = range(len(entry.ids), size)
                entry.ids.extend(added)
                entry.values.extend([status] * len(added))
            start.initial_basis.CopyFrom(self._basis)
        return start
