"""Everything that py-libp2p 0.8.1 gets wrong in the open air, mended from outside: one class for each class mended.

Nothing of the library is patched in place except the names in `names`: our classes inherit from its classes, so an
unmended host may live in the same process (the tests use one as the attacker). Each method says what it mends, and
``tests/p2p`` has a test that fails without it. A new release has to be compared with this package method by method;
until then `release.check_release` refuses it, and says which of the mended places changed (`mended`). The same faults,
told to the library's makers: ``docs/upstream.md``.
"""

from p2p.corrections.release import check_release

check_release()  # before anything of the library is looked up that another release may not have
