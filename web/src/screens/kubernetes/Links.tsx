// Where is told what was done about a policy? Its last run and its last incident.

import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';

type Properties = { run?: string | null | undefined; incident?: string | null | undefined };

export function Links({ run, incident }: Properties) {
  return (
    <>
      {incident && (
        <Button
          variant="light"
          renderRoot={(properties) => <Link to="/automation/incidents" search={{ open: incident }} {...properties} />}
        >
          Incident {incident}
        </Button>
      )}
      {run && (
        <Button renderRoot={(properties) => <Link to="/automation/runs" search={{ open: run }} {...properties} />}>
          Run {run}
        </Button>
      )}
    </>
  );
}
