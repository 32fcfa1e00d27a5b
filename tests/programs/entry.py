"""What an entry of the matrix is: a function that lets a real program carry something from one
host to the other and says what arrived."""
import collections

Entry = collections.namedtuple(
    "Entry", "name language carries packages npm quick tag remark fails run")

ENTRIES = {}


def program(name, language, carries, packages=(), npm=(), quick=False, tag=None, remark="",
            fails=""):
    """Declares the function below as an entry. quick: part of the tests. remark: what was seen and
    why. fails: why it is not made reliable; the run must confirm that."""
    def declare(function):
        assert name not in ENTRIES, name
        ENTRIES[name] = Entry(name, language, carries, tuple(packages), tuple(npm), quick, tag,
                              remark, fails, function)
        return function
    return declare
