"""Texts that were stored for everybody, without the names that one caller may not learn.

Reasons, messages and events name whoever is in the way: `project/workload`, a workload, a pod, a project or a user.
"""

from __future__ import annotations

import dataclasses
import re
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from migctl.access.visible import VisibleObjects, shown
from migctl.backends.mirror import ObjectView
from migctl.objects import Claim, Department, DynamicMig, Event, GpuNode, NodeStatus, Project, T, Workload

WORKLOAD, PROJECT, USER = "another workload", "another project", "another user"
_ONE = r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]*[A-Za-z0-9])?"
_WORD = re.compile(rf"{WORKLOAD}\b|{PROJECT}\b|{USER}\b|(?<![A-Za-z0-9]){_ONE}(?:/{_ONE})*")
"""Words as names are made of; `a/b` is one. What stands for a name already stays: a text may be masked twice."""
FENCED = "fenced"
"""All that is told of why a GPU is fenced: the agent's text may name what is on it."""


class HiddenNames:
    """What one caller may not read of names, for the time of one request."""

    def __init__(self, view: ObjectView, seen: VisibleObjects, user: str) -> None:
        self._view = view
        self._seen = seen
        self._user = user
        self._known: dict[str, str] = {}
        self._hidden = [one.meta.name for one in view.all(Project) if not seen.sees_project(one.meta.name)]
        self._users: set[str] | None = None

    def masked(self, text: str) -> str:
        """The text with each whole word that is a hidden name replaced by what kind of thing it names."""
        return _WORD.sub(lambda found: self._pair(found[0]), text) if self._hidden and text else text

    @property
    def some(self) -> bool:
        """Whether there is anything that the caller may not learn."""
        return bool(self._hidden)

    def _pair(self, words: str) -> str:
        if words in (WORKLOAD, PROJECT, USER):
            return words
        parts = words.split("/")
        if len(parts) > 1 and parts[0] in self._hidden:
            return WORKLOAD
        return "/".join(map(self._word, parts))

    def _word(self, word: str) -> str:
        if word not in self._known:
            self._known[word] = self._instead(word)
        return self._known[word]

    def _instead(self, word: str) -> str:
        if word in self._hidden or self._is_hidden_department(word):
            return PROJECT
        if self._seen.sees_project(word) or word == self._user:
            return word
        if self._is_hidden_work(word):
            return WORKLOAD
        return USER if word in self._hidden_users() else word

    def _is_hidden_department(self, word: str) -> bool:
        found = self._view.get(Department, word)
        return found is not None and not self._seen.sees(found)

    def _is_hidden_work(self, word: str) -> bool:
        """Whether only hidden projects have a workload or pod of this name."""
        if not any(
            self._view.get(Workload, word, project) or self._view.get(Claim, word, project) for project in self._hidden
        ):
            return False
        visible = (project.meta.name for project in self._seen.all(Project))
        return not any(
            self._seen.get(Workload, word, project) or self._seen.get(Claim, word, project) for project in visible
        )

    def _hidden_users(self) -> set[str]:
        """Users of whom the caller sees no workload."""
        if self._users is None:
            hidden = set(self._hidden)
            work = self._view.all(Workload)
            known = {one.spec.user for one in work if one.meta.project not in hidden}
            self._users = {one.spec.user for one in work if one.meta.project in hidden} - known
        return self._users


_kept: WeakKeyDictionary[VisibleObjects, HiddenNames] = WeakKeyDictionary()


def masked(text: str, view: ObjectView, seen: VisibleObjects, user: str) -> str:
    """A text for a caller. seen: of his request."""
    return _names(view, seen, user).masked(text)


def told(obj: T, view: ObjectView, seen: VisibleObjects, user: str) -> T:
    """An object as a caller may read it: without names in its texts, and without what others hold. seen: as above."""
    names, obj = _names(view, seen, user), shown(obj, seen)
    if not names.some:
        return obj
    match obj:
        case Event():
            return replace(obj, spec=replace(obj.spec, message=names.masked(obj.spec.message)))
        case Workload():
            return replace(obj, status=replace(obj.status, message=names.masked(obj.status.message)))
        case Claim():
            message, evicted = names.masked(obj.status.message), names.masked(obj.status.evicted)
            return replace(obj, status=replace(obj.status, message=message, evicted=evicted))
        case GpuNode():
            return replace(obj, status=_node_status(obj.status, names))
    return obj


def _node_status(status: NodeStatus, names: HiddenNames) -> NodeStatus:
    """Texts of agents may name what is on a GPU: of them only notes are told, without names."""
    report = status.report
    if report is not None:
        gpus = tuple(dataclasses.replace(gpu, fenced=FENCED) if gpu.fenced else gpu for gpu in report.gpus)
        notes = {about: names.masked(note) for about, note in report.notes.items()}
        report = dataclasses.replace(report, gpus=gpus, notes=notes)
    own = {uuid: replace(mode, message="") for uuid, mode in status.gpu_dynamic_mig.items()}
    mode: DynamicMig | None = status.dynamic_mig and replace(status.dynamic_mig, message="")
    return replace(status, report=report, message=names.masked(status.message), dynamic_mig=mode, gpu_dynamic_mig=own)


def _names(view: ObjectView, seen: VisibleObjects, user: str) -> HiddenNames:
    names = _kept.get(seen)
    if names is None:
        names = _kept[seen] = HiddenNames(view, seen, user)
    return names
