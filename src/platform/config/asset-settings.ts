import { integer, oneOf } from './setting.ts';

/** Settings of the list of assets that is kept locally. */
export const assetSettings = {
  ASSET_LIST: oneOf(['daily', 'off'], {
    default: 'daily',
    description:
      "Whether the price source's list of assets is fetched, one upstream call a day; without it there is no search and no lookup by symbol.",
  }),
  ASSET_RANK_PAGES: integer({
    default: '4',
    min: 0,
    max: 40,
    description:
      'Pages (250 assets, one upstream call each) of the ranking that are fetched after the list, for the ranks by which symbols are told apart.',
  }),
} as const;
