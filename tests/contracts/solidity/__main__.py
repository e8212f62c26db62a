from tests.contracts.solidity import main

raise SystemExit(main())
