"""The first code that runs in a frozen executable: it opens what is closed, finds modules.

Takes the place of PyInstaller's own bootstrap, which costs 4 ms at every start for what these
executables do not have (compressed archives, ctypes hooks, eggs). Modules come from one file of
unpacked code, `modules`, made by modules.py: an index that is read once, then one read per module.
What only the operator's tool needs is in a second such file, which no plugin opens.
Extension modules stay files and are found in the usual way. Imports only what is built in.
"""

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False  # as typing has it, which would have to be imported
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType


class Modules:
    """Finder and loader of the modules in a file."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = folder
        # held open: a running plugin still finds its modules after an upgrade removed the file
        self._fd = posix.open(f"{folder}/{name}", posix.O_RDONLY | posix.O_CLOEXEC)
        length = int.from_bytes(posix.pread(self._fd, 8, 0), "little")
        #: name -> where its code starts, how long it is, whether it is a package
        self._index: dict[str, tuple[int, int, bool]] = marshal.loads(
            posix.pread(self._fd, length, 8)
        )
        self._start = 8 + length
        self.names = self._index.keys()  # the agent imports them all

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        place = self._index.get(name)
        if place is None:
            return None
        is_package = place[2]
        file = f"{self._folder}/{name.replace('.', '/')}"
        spec = ModuleSpec(
            name,
            self,  # type: ignore[arg-type]  # a Loader by its methods; the class is not built in
            origin=f"{file}/__init__.pyc" if is_package else f"{file}.pyc",
            is_package=is_package,
        )
        spec.has_location = True  # so that the module gets a __file__
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(file)  # where extension modules are
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Nothing special: the import system makes the module."""

    def exec_module(self, module: "ModuleType") -> None:
        exec(self.get_code(module.__name__), vars(module))

    def get_code(self, name: str) -> "CodeType":
        offset, length, _ = self._index[name]
        code: CodeType = marshal.loads(posix.pread(self._fd, length, self._start + offset))
        return code


class Tool:
    """The last finder, asked for what no other has: the tool's package brings in its modules.

    They come before the plugins': some packages are whole there that are not whole here.
    """

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name != "cni.ctl":
            return None
        sys.meta_path.remove(Tool)
        modules = Modules(sys._MEIPASS, "modules-of-tool")  # type: ignore[attr-defined]
        sys.meta_path.insert(0, modules)
        return modules.find_spec(name)


def reopen(stream: str, fd: int, mode: str, flags: int) -> None:
    """Put /dev/null where the caller closed a standard stream: else the next file or socket that is
    opened gets its number, and what is meant for the caller.
    """
    null = posix.open("/dev/null", flags)
    if null != fd:
        posix.dup2(null, fd)
        posix.close(null)
    setattr(sys, stream, open(fd, mode, closefd=False))  # noqa: SIM115


for standard in (
    ("stdin", 0, "r", posix.O_RDONLY),
    ("stdout", 1, "w", posix.O_RDONLY),  # an answer that cannot be given must be an error
    ("stderr", 2, "w", posix.O_WRONLY),
):
    if getattr(sys, standard[0]) is None:
        reopen(*standard)

sys.frozen = True  # type: ignore[attr-defined]  # what PyInstaller's programs are told by
sys.meta_path.insert(0, Modules(sys._MEIPASS, "modules"))  # type: ignore[attr-defined]
sys.meta_path.append(Tool)
