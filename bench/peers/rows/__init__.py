"""The rows of the table, in its order."""

from rows.dispatch import Dispatch
from rows.in_place import Cached, Decrypt, LargerThanMemory, Reencrypt
from rows.larger import LargerOthers
from rows.mapping import Mapped, Textbook
from rows.out_of_place import OutOfPlace
from rows.sizes import Sizes
from rows.verifying import Verify

ALL = [Textbook(), Cached(), Mapped(), LargerThanMemory(), LargerOthers(), OutOfPlace(), Reencrypt(), Decrypt(), Verify(), Sizes(), Dispatch()]
