// Where does the page begin?

import './library.css';
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ahead } from './ahead';
import { holdBack } from './api/client';
import { Problem } from './api/problem';
import { token, useSession } from './api/session';
import { PLACES } from './nav';
import { router } from './router';
import { readSearch } from './scope';
import { Later } from './shell/Later';
import { Login, LoginAgain } from './shell/Login';
import { theme, variables } from './theme';

// Styles that libraries make while the page runs are let in by this number alone; see `apps/manager/src/web.rs`.
const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
setNonce(nonce);

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      // A refusal stays one; only what did not arrive is asked again.
      retry: (count, error) => count < 3 && error instanceof Problem && (error.status === 0 || error.status === 503),
    },
  },
});

function Page() {
  const state = useSession();
  if (state.kind === 'asking') return null;
  if (state.kind === 'out') return <Login />;
  return (
    <>
      <RouterProvider router={router} />
      {state.kind === 'expired' && <LoginAgain who={state.who} />}
    </>
  );
}

const { pathname, search } = router.latestLocation;
const place = PLACES.find((one) => one.path === pathname);
if (token()) {
  await ahead(queries, place, readSearch(search));
  if (place?.list) holdBack();
}
const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider
        theme={theme}
        cssVariablesResolver={variables}
        defaultColorScheme="auto"
        getStyleNonce={() => nonce}
      >
        <Later>
          <Notifications position="bottom-right" />
        </Later>
        <QueryClientProvider client={queries}>
          <Page />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
