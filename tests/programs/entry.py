"""What an entry of the matrix is: a function that lets a real program carry something from one
host to the other and says what arrived."""
import collections

Entry = collections.namedtuple(
    "Entry", "name language carries packages unpacked libraries npm quick tag remark fails run")

ENTRIES = {}


def program(name, language, carries, packages=(), unpacked=(), libraries=(), npm=(),
            quick=False, tag=None, remark="", fails=""):
    """Declares the function below as an entry. packages: of Debian. unpacked: those that cannot be
    installed beside others (Lab.unpacked), libraries: what they need. quick: part of the tests.
    remark: what was seen and why. fails: why it is not made reliable."""
    def declare(function):
        assert name not in ENTRIES, name
        ENTRIES[name] = Entry(name, language, carries, tuple(packages), tuple(unpacked),
                              tuple(libraries), tuple(npm), quick, tag, remark, fails, function)
        return function
    return declare
