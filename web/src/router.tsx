// Which screen does an address mean? One route for each place, whose part of the script is run when it is first gone to.

import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router';
import { PLACES } from './nav';
import { readSearch } from './scope';
import { NoSuchPlace, Shell } from './shell/Shell';

const root = createRootRoute({ component: Shell, validateSearch: readSearch, notFoundComponent: NoSuchPlace });

const start = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: PLACES[0]?.path ?? '/', replace: true });
  },
});

const places = PLACES.map((place) =>
  createRoute({ getParentRoute: () => root, path: place.path, component: lazyRouteComponent(place.load) }),
);

export const router = createRouter({ routeTree: root.addChildren([start, ...places]), defaultPreload: 'intent' });
